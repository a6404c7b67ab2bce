#!/usr/bin/perl

# What nginx and the subscriber use while nothing happens: printed, and held to a bound that only a busy loop breaks.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes 'time';
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new;
is($t->get('/sn/log?topic=idle&data=one')->{status}, 204, 'an event before');
$t->{totals}{taken}++;
$t->drained;

my %pids = (map({ ("nginx worker $_" => $_) } $t->workers), 'nginx master' => $t->master, subscriber => $t->{subscriber}->pid);
my ($began, %before) = (time, map { $_ => used($pids{$_}) } keys %pids);
pause_until($began + 10);
my $seconds = time - $began;
my $sum = 0;
for my $name (sort keys %pids) {
    my $used = used($pids{$name}) - $before{$name};
    $sum += $used;
    diag(sprintf '%s: %.2f %% of a core', $name, 100 * $used / $seconds);
}
diag(sprintf 'idle, all together: %.2f %% of a core', 100 * $sum / $seconds);
cmp_ok($sum / $seconds, '<', 0.05, 'idle, nobody is in a loop');

is($t->get('/sn/log?topic=idle&data=two')->{status}, 204, 'and an event after');
$t->{totals}{taken}++;
$t->drained->close_books;
$t->finish;

# The CPU seconds that a process and its threads have used, as its scheduler counts them, to the nanosecond.
sub used {
    my ($pid) = @_;
    my $sum = 0;
    for my $task (glob "/proc/$pid/task/*/schedstat") {
        my ($on_cpu) = split ' ', $t->read_file($task);
        $sum += ($on_cpu // 0) / 1e9;
    }
    return $sum;
}
