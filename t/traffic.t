#!/usr/bin/perl

# The site's traffic (sparkngin_access) while workers, the publisher's worker, the subscriber and all of nginx are killed, while
# a worker is stopped, and over a reload and a binary upgrade: a request whose connection went on to another answer has its
# event in Kafka. (An event comes behind its answer, so of the last request of a connection that was cut nobody can
# tell.) COUNT=n does each fault n times.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes 'time';
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new(http => 'sparkngin_access site;', server => 'location /page/ { return 200 "a page\n"; }');
my (%owed, %asked, @sockets);
my $number = 0;

# One request on one of four connections; owed is the one before it there.
sub ask {
    my $which = $number % 4;
    my $place = $sockets[$which] //= do {
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port, Timeout => 5);
        $socket ? { socket => $socket } : undef;
    } or return;
    my $id = ++$number;
    $asked{$id} = 1;
    local $SIG{PIPE} = 'IGNORE';
    my $text = '';
    if (syswrite $place->{socket}, "GET /page/$id HTTP/1.1\r\nHost: a\r\n\r\n") {
        while ($text !~ /a page\n/) {
            IO::Select->new($place->{socket})->can_read(10) or last;
            sysread $place->{socket}, $text, 4096, length $text or last;
        }
    }
    if ($text !~ /a page\n/) { $sockets[$which] = undef; return }
    $owed{ $place->{last} } = 1 if defined $place->{last};
    $place->{last} = $id;
    return 1;
}

sub ask_more {
    my ($count) = @_;
    my $got = 0;
    poll(60, "$count requests are served", sub { $got += ask() // 0 for 1 .. 50; $got >= $count });
}

# A worker is stopped, and goes on or is killed: each of its requests has to wait, so nobody asks meanwhile.
sub stopped {
    my ($then) = @_;
    my ($pid) = $t->workers;
    kill STOP => $pid;
    poll(5, 'it is stopped', sub { $t->read_file("/proc/$pid/stat") =~ /^\d+ \(.*\) T/ });
    pause_until(time + 0.1 + rand 0.2);
    return $t->kill9($pid) if $then eq 'KILL';
    kill CONT => $pid;
}

my %fault = (
    worker => sub {
        my $publisher = poll(10, 'somebody publishes', sub { $t->publisher_worker });
        $t->kill9(grep { $_ != $publisher } $t->workers);
    },
    publisher => sub { $t->kill9(poll(10, 'somebody publishes', sub { $t->publisher_worker })) },
    subscriber => sub { $t->{subscriber}->kill9; ask_more(200); $t->subscribe; $t->attached },
    reload => sub { $t->reload },
    upgrade => sub { $t->upgrade },
    nginx => sub { $t->kill9($t->master, $t->workers); $t->start->ready },
    map({ my $then = $_; (lc "stop-$then" => sub { stopped($then) }) } qw(CONT KILL)),
);
for my $n (1 .. $ENV{COUNT} // 1) {
    for my $name (sort keys %fault) {
        ask_more(300);
        $fault{$name}->();
        ask_more(300);
        pass("$name, and " . keys(%asked) . ' requests so far');
    }
}
$t->drained;

my (%there, %sg, $strange);
for my $record ($t->{kafka}->read('site')) {
    my $event = JSON::PP->new->decode($record->{value});
    my ($id) = $event->{uri} =~ m{^/page/(\d+)$} or next;
    $strange++ if !$asked{$id} || $event->{status} != 200;
    $there{$id}{ $record->{headers}{sg} } = 1;
    $sg{ $record->{headers}{sg} } = 1;
}
my @missing = grep { !$there{$_} } sort { $a <=> $b } keys %owed;
cmp_ok(scalar keys %owed, '>', 2000, scalar(keys %owed) . ' requests whose event is owed');
is("@missing", '', 'each has its event in Kafka');
is($strange // 0, 0, 'none is there that was not asked for');
is((grep { keys %$_ > 1 } values %there) + 0, 0, 'and each is one event');
my $books = $t->books;
is($books->{committed}, $books->{in_kafka}, 'the books close');
is($books->{in_kafka}, scalar keys %sg, 'with what is in Kafka');
is($t->status->{access}{lost}, 0, 'nothing was lost');

$t->finish;
