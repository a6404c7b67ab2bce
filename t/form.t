#!/usr/bin/perl
# Forms as browsers and curl send them, in parts or not: text fields are parameters, each with the rights of one; and
# types with a charset, or none at all.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my $t = Sparkngin->new(program => 0);
$t->conf(http => Sparkngin::Tap::conf(qw(campaign comment content-type)) . ' sparkngin_topic t;', location => 'sparkngin_root_loc;');
$t->start->ready;
my $tap = Sparkngin::Tap->new($t);
my $url = 'http://127.0.0.1:' . $t->port . '/sn/log';
my $sent = 0;

sub curl {
    my ($what, @args) = @_;
    my ($code, $text) = $t->run('curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', @args);
    is($text, 204, $what);
    $sent++;
}

# Real senders.
$t->write_file('note', "from a file\n");
curl('curl -F', '-F', 'id=f1', '-F', 'campaign=spring & summer', '--form-string', 'data=a "b"; c', "$url?level=info");
curl('curl -F, the value of a file', '-F', 'id=f2', '-F', 'comment=<' . $t->path('note'), $url);
curl('curl --data-urlencode', '--data-urlencode', 'id=f3', '--data-urlencode', 'campaign=100 % & more', $url);
curl('curl -d, JSON', '-d', '{"id":"f4","a":1}', $url);
curl('curl --json', '--json', '{"id":"f5","a":1}', $url);
curl('wins: the query', '-F', 'level=form', '-F', 'id=f6', "$url?level=query");

# By hand: one good form, and what is wrong when a little of it is.
my $boundary = '----WebKitFormBoundary7MA4YWxkTrZu0gW';
sub part { my ($head, $value) = @_; return "--$boundary\r\nContent-Disposition: form-data; $head\r\n\r\n$value\r\n" }
sub form {
    my ($body, $type) = @_;
    return $t->post('/sn/log', $body, headers => ['Content-Type' => $type // "multipart/form-data; boundary=$boundary"]);
}
my $good = part('name="id"', 'g1') . part('name="campaign"', "l\xc3\xa4nger\r\nthan a line") . part('name="upload"; filename=""', '') . "--$boundary--\r\n";
is(form($good)->{status}, 204, 'a browser\'s form, with a file that nobody chose');
is(form($good =~ s/g1/g2/r, "Multipart/Form-Data; charset=utf-8; boundary=\"$boundary\"")->{status}, 204, 'with a charset and quotation marks');
is(form("--$boundary--\r\n")->{status}, 204, 'a form without fields');
$sent += 3;
for my $row (
    ['no boundary', $good, 'multipart/form-data', 'data', qr/the type must have a boundary/],
    ['another boundary', $good, 'multipart/form-data; boundary=x', 'data', qr/there must be the boundary/],
    ['cut off', substr($good, 0, -10), undef, 'data', qr/must end with the last boundary|a line's end/],
    ['a part without a name', $good =~ s/ name="id"//r, undef, 'data', qr/with a name/],
    ['a file', part('name="up"; filename="a.txt"', 'x') . "--$boundary--", undef, 'up', qr/^"up" is a file, it must be a text field$/],
    ['a file by its other name', part('name="up"; filename*=UTF-8\'\'a.txt', 'x') . "--$boundary--", undef, 'up', qr/^"up" is a file, it must be a text field$/],
    ['two payloads', part('name="data"', '1') . part('name="log"', '2') . "--$boundary--", undef, 'data', qr/^there are two payloads, it must be one: /],
    ['the server\'s own', part('name="time_stamp"', '1') . "--$boundary--", undef, 'time_stamp', qr/the server's own/],
    ['a bad topic', part('name="topic"', 'a b') . "--$boundary--", undef, 'topic', qr/^topic "a b"/],
) {
    my ($what, $body, $type, $field, $error) = @$row;
    my $answer = form($body, $type);
    my $said = eval { JSON::PP->new->decode($answer->{body}) } // {};
    is("$answer->{status} " . ($said->{field} // '-'), "400 $field", "$what: 400");
    like($said->{error}, $error, '  and why');
}

# Types: with a charset, empty, missing, unknown.
my %kind = (
    k1 => ['{"id":"k1"}', 'application/json;charset=UTF-8'], k2 => ['{"id":"k2"}', 'application/vnd.event+json; charset="utf-8"; v=1'],
    k3 => ["caf\xe9", 'text/plain; charset=iso-8859-1'], k4 => ["caf\xc3\xa9", 'text/plain; charset=utf-8'],
    k5 => ['id=k5&campaign=x', 'application/x-www-form-urlencoded; charset=windows-1252'], k6 => ['plain', ''], k7 => ['a,b', 'text/csv; header=present'],
    k8 => ["\0\1\xff", 'application/octet-stream'], k9 => ['<a/>', 'application/xml'],
);
for my $id (sort keys %kind) {
    my ($body, $type) = @{ $kind{$id} };
    my $query = $body =~ /id/ ? '' : "?id=$id";
    is($t->post("/sn/log$query", $body, headers => ['Content-Type' => $type])->{status}, 204, "$type: taken");
    $sent++;
}
is($t->raw("POST /sn/log?id=none HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")->{status}, 204, 'no type at all');
$sent++;

my %e = $tap->by_id($sent);
is_deeply([@{ $e{f1} }{qw(level campaign data)}], ['info', 'spring & summer', 'a "b"; c'], 'stored: text fields');
is($e{f2}{comment}, "from a file\n", 'stored: a file\'s text');
is($e{f3}{campaign}, '100 % & more', 'stored: decoded');
is_deeply([$e{f4}{data}, $e{f5}{data}], [{ id => 'f4', a => 1 }, { id => 'f5', a => 1 }], 'stored: JSON');
is($e{f6}{level}, 'query', 'the query wins');
is_deeply([map { $e{$_}{campaign} } qw(g1 g2)], [("l\x{e4}nger\r\nthan a line") x 2], 'stored: lines and UTF-8');
is_deeply([map { ref $e{$_}{data} } qw(k1 k2)], ['HASH', 'HASH'], 'JSON of any charset\'s name');
is($e{k3}{data_base64}, "Y2Fm6Q==\n" =~ s/\n//r, 'bytes that are no UTF-8');
is_deeply([map { $e{$_}{'content-type'} } qw(k3 k7 k8 k9)],
    ['text/plain; charset=iso-8859-1', 'text/csv; header=present', 'application/octet-stream', 'application/xml'], 'with their type');
is_deeply([map { $e{$_}{'content-type'} } qw(k1 k4 k5 k6 none)], [(undef) x 5], 'which is left out where the payload says it');
is_deeply([map { $e{$_}{data} } qw(k4 k6 k7 k9 none)], ["caf\x{e9}", 'plain', 'a,b', '<a/>', 'hi'], 'stored: texts');
is($e{k5}{campaign}, 'x', 'a form with a charset');
$t->finish;
