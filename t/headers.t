#!/usr/bin/perl

# What a client says for Kafka gets there: the record's key, which decides on its partition, and headers; and what it must
# not say is refused beside a twin that is taken.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new;
my $kafka = $t->{kafka};

sub taken {
    my ($what, $target, %opt) = @_;
    my $answer = $t->get($target, %opt);
    is($answer->{status}, 204, $what) or diag $answer->{raw};
}

sub refused {
    my ($what, $error, $field, @headers) = @_;
    my $answer = $t->get('/sn/log?topic=none', headers => \@headers);
    is($answer->{status}, 400, $what) or diag $answer->{raw};
    my $said = eval { JSON::PP->new->decode($answer->{body}) } // {};
    like($said->{error}, $error, '  and why');
    is($said->{field}, $field, '  and which');
}

taken('neither key nor headers', '/sn/log/plain?id=h1');
taken('a key', '/sn/log/plain?id=h2&key=user-1');
taken('an empty key', '/sn/log/plain?id=h3&key=');
is($t->post('/sn/log/plain', '{"id":"h5","key":17}', headers => ['Content-Type' => 'application/json'])->{status}, 204, 'a number for a key');
taken('headers', '/sn/log/plain?id=h6', headers => ['Sparkngin-Header-Trace' => 'abc', 'sparkngin-header-CE_x.y' => '', 'SPARKNGIN-HEADER-Tenant-Id' => 'a b']);
taken('a name as long as may be', '/sn/log/plain?id=h7', headers => ['Sparkngin-Header-' . 'n' x 255 => 'v']);
taken('as many as may be', '/sn/log/plain?id=h8', headers => [map { ("Sparkngin-Header-N$_" => $_) } 1 .. 64]);
taken('a name that only begins like ours', '/sn/log/plain?id=h9', headers => ['Sparkngin-Header-Sga' => '1', 'Sparkngin-Headers' => 'no', 'Sparkngin-Heade' => 'no']);

my $wrong = sub { qr/^header "Sparkngin-Header-\Q$_[0]\E" names no Kafka header, it must be 1 to 255 bytes, not "sg", and not start with "sparkngin-" or "ce_"$/ };
refused('the name of our own header', $wrong->('sg'), 'Sparkngin-Header-sg', 'Sparkngin-Header-SG' => '1');
refused('a name of the dead letter', $wrong->('sparkngin-hole'), 'Sparkngin-Header-sparkngin-hole', 'Sparkngin-Header-Sparkngin-Hole' => '1');
refused('no name', $wrong->(''), 'Sparkngin-Header-', 'Sparkngin-Header-' => '1');
refused('a name that is too long', qr/^header "Sparkngin-Header-n{64}\.\.\." names no/, 'Sparkngin-Header-' . 'n' x 64 . '...', 'Sparkngin-Header-' . 'n' x 256 => 'v');
refused('too many', qr/^there are more than 64 Kafka headers, it must be 64 at most$/, undef, map { ("Sparkngin-Header-N$_" => $_) } 1 .. 65);

# What becomes a dead letter keeps its headers; the dead letter's own topic takes no events.
is($t->get('/sn/log/sparkngin.dead?id=dead', headers => ['Sparkngin-Header-Trace' => 'kept'])->{status}, 204, 'an event for the dead letter');

my $sums = 0;
for my $n (1 .. 60) { $sums += $t->get("/sn/log/keyed?key=k" . $n % 6 . "&id=$n")->{status} == 204 }
is($sums, 60, '60 events of 6 keys');
$t->drained;

my %record = map { (JSON::PP->new->utf8->decode($_->{value})->{id} => $_) } $kafka->read('plain');
is(scalar keys %record, 8, 'what was taken is in Kafka, and nothing else');
is_deeply([map { $record{"h$_"}{key} } 1, 2, 3, 5], [undef, 'user-1', '', '17'], 'the keys');
my $headers = sub { my %h = %{ $record{$_[0]}{headers} }; like(delete $h{sg}, qr/^[0-9a-f]{32}-\d+-\d+$/, "$_[0]: sg, and"); return \%h };
is_deeply($headers->('h1'), {}, '  nothing else');
is_deeply($headers->('h6'), { trace => 'abc', 'tenant-id' => 'a b' }, '  the headers; nginx drops names with an underscore or a dot');
is_deeply($headers->('h7'), { 'n' x 255 => 'v' }, '  the long one');
is_deeply($headers->('h8'), { map { ("n$_" => $_) } 1 .. 64 }, '  all of them');
is_deeply($headers->('h9'), { sga => '1' }, '  the one that is meant');

my ($letter) = $kafka->read('sparkngin.dead');
is_deeply([@{ $letter->{headers} }{qw(trace sparkngin-topic)}], ['kept', 'sparkngin.dead'], 'a dead letter has its event\'s headers');

my %partitions;
$partitions{ $_->{key} }{ $_->{partition} }++ for $kafka->read('keyed');
is(join(' ', map { scalar keys %$_ } values %partitions), join(' ', (1) x 6), 'each key is in one partition');

$t->finish;
