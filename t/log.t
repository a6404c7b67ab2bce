#!/usr/bin/perl
# /log: what is taken, what it is answered, and what is stored of it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sparkngin;
use Sparkngin::Tap;
use Test::More;

my $t = Sparkngin->new(program => 0);
$t->conf(
    http => Sparkngin::Tap::conf(qw(campaign cookie_a)) . ' sparkngin_topic outer; sparkngin_receipt on;',
    server => <<'CONF',
        set $which web;
        location = /exact/log { sparkngin_root_loc; }
        location = /exact/other { sparkngin_root_loc; }
        location ~ ^/re/.*$ { sparkngin_root_loc; }
        location /pre { sparkngin_root_loc; }
        location /pre/in/ { sparkngin_root_loc; sparkngin_receipt off; sparkngin_topic inner; }
        location /vars/ { sparkngin_root_loc; sparkngin_topic $which-$arg_kind; }
        location /named/ { try_files /none @log; }
        location @log { sparkngin_root_loc; }
        location /moved/ { rewrite ^/moved/(.*)$ /elsewhere/$1 break; sparkngin_root_loc; }
        location /if/ { if ($arg_x) { set $which b; } sparkngin_root_loc; }
        location /small/ { sparkngin_root_loc; sparkngin_max_event 200; }
CONF
    location => 'sparkngin_root_loc;',
);
$t->start->ready;
my $tap = Sparkngin::Tap->new($t);
my $sent = 0;

sub taken {
    my ($answer, $what) = @_;
    is($answer->{status}, 204, $what) or diag $answer->{raw};
    $sent += $answer->{status} == 204;
    return $answer;
}

# Answers.
{
    my $answer = taken($t->get('/sn/log?topic=a&id=1&data=hello'), 'an event by GET');
    is($answer->{headers}{'cache-control'}, 'no-store', 'no cache may answer for nginx');
    like($answer->{headers}{'sparkngin-receipt'}, qr/^[0-9a-f]{32}-\d+-\d+; ack=ring$/, 'the receipt, where it is on');
    is($answer->{body}, '', 'and nothing else');
    my $post = taken($t->post('/sn/log?topic=a&id=2', 'a body'), 'an event by POST');
    isnt($post->{headers}{'sparkngin-receipt'}, $answer->{headers}{'sparkngin-receipt'}, 'another event, another receipt');
    ok(!exists taken($t->get('/pre/in/log?id=3'), 'below a location that says off')->{headers}{'sparkngin-receipt'},
        'no receipt: the inner place overrides');
    taken($t->post('/sn/log?topic=a&id=4', ''), 'a POST with an empty body is an event without data');
    taken($t->request('GET', '/sn/log?topic=a&id=5&data=query', body => 'thrown away'), 'a GET with a body: it is discarded');
    my $two = $t->raw(("GET /sn/log?topic=a&id=6&data=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz")
        . "GET /sn/log?topic=a&id=7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    is($two->{status}, 204, 'and the connection goes on');
    $sent += 2;
}

# Names.
taken($t->get($_->[0]), "$_->[1]: $_->[0]") for (
    ['/exact/log?id=n1', 'an exact location'],
    ['/re/any/thing/log?id=n2', 'a regex location'],
    ['/pre/log?id=n3', 'a prefix without a slash'],
    ['/named/log?id=n4', 'a named location'],
    ['/moved/log?id=n5', 'after a rewrite'],
    ['/if/log?id=n6&x=1', 'inside "if"'],
    ['/sn//log?id=n7', 'two slashes'],
    ['/sn/./log?id=n8', 'a dot'],
    ['/sn/%6Cog?id=n9', 'an encoded name'],
);
is($t->get($_)->{status}, 404, "nothing is at $_")
    for qw(/sn/ /sn/Log /sn/log/ /sn/x/log /prelog /pre/ /exact/other /re/log/ /sn/logs);

# Fields.
taken($t->get('/sn/log?topic=t&id=f1&level=info&type=click&env=prod&ver=2.1&key=k&timestamp=134545634345&campaign=spring&data=a+b%20c'),
    'every field by its parameter');
taken($t->get('/sn/log?topic=t&topic=u&id=f2&log=other'), 'the first of a repeated name; log is data');
taken($t->get('/sn/log?topic=t&id=f3&ip=192.0.2.7', headers => ['User-Agent' => 'a "b" \\ c', Referer => 'http://r/', Cookie => 'a=1; b=2']),
    'header values');
taken($t->get('/sn/log?topic=t&id=f4&user-agent=mine', headers => ['User-Agent' => 'theirs']), 'a parameter sets the field');
taken($t->raw("GET /sn/log?topic=t&id=f5 HTTP/1.1\r\nHost: a\r\nCookie: b=2\r\nCookie: a=7\r\nConnection: close\r\n\r\n"), 'two Cookie headers');
taken($t->get('/sn/log?topic=t&id=f6&data=%ff%00%01'), 'bytes that are not UTF-8');
taken($t->get('/sn/log?topic=t&id=f7&data=42'), 'a text that looks like a number');
taken($t->get('/sn/log?id=f8'), 'no topic: the default');
taken($t->get('/vars/log?id=f9&kind=x'), 'a default with variables');
is($t->get('/vars/log?id=f10&kind=%2F')->{status}, 400, 'but its value has to be a topic');
taken($t->get('/sn/log?topic=t&id=f11&timestamp=2024-02-29T12:00:00.5Z&%C3%A9t%C3%A9=oui'), 'RFC 3339; a custom name in UTF-8');
taken($t->post('/sn/log?topic=t&id=f12', '{"a": [1, 2.50, "x"]}', headers => ['Content-Type' => 'application/json; charset=utf-8']), 'a JSON body');
taken($t->post('/sn/log?topic=t&id=f13', '{"a": 1}', headers => ['Content-Type' => 'text/plain']), 'the same as text');
taken($t->post('/sn/log?topic=t&level=query', '{"topic":"u","id":"f16","level":"body","type":"a\\u0062","n":[1]}', headers => ['Content-Type' => 'application/json']),
    'a JSON object with fields');
taken($t->post('/sn/log?level=query', 'topic=u&id=f17&level=body&data=a+b', headers => ['Content-Type' => 'application/x-www-form-urlencoded']),
    'a form');
taken($t->post('/sn/log?topic=t&id=f18', '{"a": 1}', headers => ['Content-Type' => 'application/x-www-form-urlencoded']), 'JSON, as curl -d sends it');
taken($t->get('/small/log?topic=t&id=f14&data=' . 'x' x 150), 'an event that just fits');
is($t->get('/small/log?topic=t&id=f15&data=' . 'x' x 250)->{status}, 413, 'one that does not');

my @events = $tap->events($sent);
is(scalar @events, $sent, 'each event that was answered with success is there once, and none else');
my %e = map { $_->{id} => $_ } @events;
is($e{1}{data}, 'hello', 'data');
like($e{1}{sg}, qr/^[0-9a-f]{32}-\d+-\d+$/, 'its id');
cmp_ok(abs($e{1}{time_stamp} / 1000 - time), '<', 60, 'the time of receipt, ms');
is($e{1}{ip}, '127.0.0.1', 'the peer');
is($e{2}{data}, 'a body', 'a body is data');
is($e{3}{topic}, 'inner', 'the inner default topic');
ok(!exists $e{4}{data}, 'an empty body is no data');
is($e{5}{data}, 'query', 'a GET says all in its query');
is_deeply([map { $e{"n$_"}{topic} } 1 .. 9], [('outer') x 9], 'every way in leads to the same place');
is_deeply([@{ $e{f1} }{qw(topic level type env version key submitted_timestamp campaign data)}],
    ['t', 'info', 'click', 'prod', '2.1', 'k', 134545634345, 'spring', 'a b c'], 'the fields');
is_deeply([@{ $e{f2} }{qw(topic data)}], ['t', 'other'], 'the first wins; log is data');
is_deeply([@{ $e{f3} }{qw(ip user-agent referrer cookie_a)}], ['192.0.2.7', 'a "b" \\ c', 'http://r/', '1'], 'headers');
ok(!exists $e{f3}{cookie}, 'a cookie that the fields do not name is not stored');
is($e{f4}{'user-agent'}, 'mine', 'the parameter, not the header');
is($e{f5}{cookie_a}, '7', 'cookies of the second header');
is($e{f6}{data_base64}, '/wAB', 'bytes in base64');
is($e{f7}{data}, '42', 'a text stays one');
is($e{f8}{topic}, 'outer', 'the default topic of http');
is($e{f9}{topic}, 'web-x', 'variables in the topic');
is($e{f11}{submitted_timestamp}, 1709208000500, 'RFC 3339 as ms');
is_deeply($e{f12}{data}, { a => [1, 2.5, 'x'] }, 'JSON as it is');
is_deeply($e{f13}{data}, { a => 1 }, 'an object as text');
is_deeply([@{ $e{f16} }{qw(topic level type data)}], ['t', 'query', 'ab', { topic => 'u', id => 'f16', level => 'body', type => 'ab', n => [1] }],
    'keys are fields where no parameter is, and the payload is whole');
is_deeply([@{ $e{f17} }{qw(topic level data)}], ['u', 'query', 'a b'], 'a form\'s parameters, those of the query first');
is_deeply($e{f18}{data}, { a => 1 }, 'JSON that is called a form');

# Many requests over few connections, to both workers: every receipt is another.
{
    my (%receipt, %stream);
    for (1 .. 40) {
        my $receipt = $t->get("/sn/log?topic=many&id=m$_")->{headers}{'sparkngin-receipt'} // '';
        $receipt{$receipt}++;
        $stream{$1}++ if $receipt =~ /-(\d+)-\d+;/;
    }
    is(scalar keys %receipt, 40, '40 events, 40 receipts');
    cmp_ok(scalar keys %stream, '<=', 2, 'in the streams of two workers');
}

$t->finish;
