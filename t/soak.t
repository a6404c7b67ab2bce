#!/usr/bin/perl

# All faults at random times for SECONDS, 15 unless told, in rounds: at the end of each everything is healed, the audit
# is made, and what nginx and the subscriber hold is counted: memory, descriptors, slots, blocks. SEED=n repeats the
# choices (not the scheduler's).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes 'time';
use Sparkngin::Row 'seed';
use Sparkngin::Spine;

my $seconds = $ENV{SECONDS} // 15;
seed();
my $t = Sparkngin::Spine->new(buf_size => '256m', start => 0, listening => 'reuseport');
my $kafka = $t->{kafka};
my $proxy = $t->feed_proxied;
$t->start->ready;
$t->subscribe;
$t->attached;

# fault => [how often, beside the others; what it does; what is to be done a moment later]
my %faults = (
    worker => [4, sub { $t->kill9(one($t->workers)) }],
    publisher => [4, sub { $t->kill9($t->publisher_worker // return) }],
    reload => [3, sub { $t->reload(wait => 0) }],
    subscriber => [3, sub { $t->{subscriber}->kill9 }, sub { $t->subscribe }],
    stop => [2, sub { my $pid = one($t->workers); kill STOP => $pid; return $pid }, sub { kill CONT => $_[0] }],
    kafka => [2, sub { $kafka->kill9 }, sub { $kafka->start->wait }],
    freeze => [2, sub { $kafka->freeze }, sub { $kafka->thaw }],
    cut => [3, sub { $proxy->tell('cut') }],
    hang => [1, sub { $proxy->tell('hang') }, sub { $proxy->tell('pass') }],
    delay => [1, sub { $proxy->tell('delay 3') }, sub { $proxy->tell('pass') }],
    nginx => [1, sub { $t->kill9($t->master, $t->workers); $t->start->ready }],
);
my @kinds = map { ($_) x $faults{$_}[0] } sort keys %faults;

my ($over, $rounds, %sum, @held) = (time + $seconds, 0);
while (time < $over || !$rounds) {
    my $figures = run_round(++$rounds, $over - time < 45 ? $over : time + 30);
    $sum{$_} += $figures->{$_} for keys %$figures;
    push @held, held();
    note("round $rounds: " . join ', ', map { "$_=$held[-1]{$_}" } sort keys %{ $held[-1] });
}
$t->close_books;
# Of the first round's figures, what may be more at the end: nothing that grows with the number of faults.
my %more = (fds => 12, threads => 6, slots => 4, blocks => 6, nginx_mb => 40, subscriber_mb => 60);
for my $what (sort keys %more) {
    cmp_ok($held[-1]{$what}, '<=', $held[0]{$what} + $more{$what}, "$what: flat over $rounds rounds");
}
$t->figures(20, fault => 'soak', seconds => int($seconds), rounds => $rounds, %sum,
    map({ ("${_}_max" => $held[-1]{$_}) } keys %more));
$t->finish;

sub one { return $_[ rand @_ ] }

# Faults for as long as it is not over, none of a kind before the last of it is healed.
sub run_round {
    my ($round, $over) = @_;
    my $load = $t->load(rate => 1800, connections => 48, bodies => 1);
    $load->wait_more(500);
    my (%open, $strikes);
    while (time < $over) {
        heal(\%open, time);
        my $kind = one(@kinds);
        next if $open{$kind} || ($open{stop} && $kind =~ /worker|publisher|reload|nginx/) || ($open{subscriber} && $kind eq 'freeze');
        next if $kind =~ /kafka|freeze/ && ($open{kafka} || $open{freeze}) || $kind =~ /hang|delay|cut/ && ($open{hang} || $open{delay});
        my (undef, $strike, $after) = @{ $faults{$kind} };
        my $held = $load->fault($kind, $strike);
        $strikes++;
        $open{$kind} = [ time + 0.2 + rand 4, $after, $held ] if $after;
        pause_until(time + rand 1.5);
    }
    heal(\%open, time + 1000);
    poll(20, 'there are two workers', sub { 2 == $t->workers });
    $t->subscribe if !$t->{subscriber}->running;
    $t->attached;
    $load->wait_more(1000);
    my $found = $t->audit($load, name => "round $round", seconds => 120, settle => 1);
    return { %{ $found->{figures} }, strikes => $strikes };
}

sub heal {
    my ($open, $now) = @_;
    for my $kind (sort keys %$open) {
        my ($at, $after, $held) = @{ $open->{$kind} };
        next if $at > $now;
        delete $open->{$kind};
        $after->($held);
    }
}

# What is held when nothing is under way.
sub held {
    my $status = $t->status;
    my %held = (fds => 0, threads => 0, nginx_mb => 0, slots => $status->{ring}{streams},
        blocks => $status->{ring}{blocks}{open} + $status->{ring}{blocks}{sealed});
    for my $pid ($t->master, $t->workers, $t->{subscriber}->pid) {
        $held{fds} += () = glob "/proc/$pid/fd/*";
        $held{threads} += () = glob "/proc/$pid/task/*";
        # Without the ring's own pages, which every worker has.
        my ($mb) = map { $_ / 1024 } $t->read_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;
        $held{ $pid == $t->{subscriber}->pid ? 'subscriber_mb' : 'nginx_mb' } += int $mb;
    }
    return \%held;
}
