#!/usr/bin/perl

# SIGSTOP of a worker that writes and of the one that publishes, for a moment or for longer than a session lives, then
# CONT or KILL: a stopped process is alive and keeps what is its own, nothing is written twice, nothing is lost.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes 'time';
use Sparkngin::Spine;

# Each worker has a socket of its own to listen on, so that no one gets all connections and, stopped, stops the load.
my $t = Sparkngin::Spine->new(listening => 'reuseport');

for my $who (qw(writer publisher)) {
    for my $then (qw(CONT KILL)) {
        $t->row(6, lc "$who-$then", 1, sub {
            my ($load, $n) = @_;
            my $publisher = poll(10, 'somebody publishes', sub { $t->publisher_worker });
            my ($pid) = grep { ($_ == $publisher) == ($who eq 'publisher') } $t->workers;
            $load->fault("$who stopped", sub { kill STOP => $pid });
            pause_until(time + ($n % 5 ? 0.1 + rand : 4));
            if ($then eq 'CONT') { kill CONT => $pid }
            else { $t->kill9($pid) }
            $load->wait_more(1000);
            poll(10, 'there are two workers', sub { 2 == $t->workers });
            poll(10, 'somebody publishes', sub { $t->publisher_worker });
        }, load => { connections => 64 });
    }
}

$t->close_books;
$t->finish;
