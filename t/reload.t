#!/usr/bin/perl

# Under load: 20 reloads, each of which hands the publisher over; then `nginx -t`, and a broken configuration that a
# reload refuses. Nothing is lost, nothing is in Kafka twice.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new;

my ($reloads, @epochs) = (0, $t->epoch);
$t->row(10, 'reload', 20, sub {
    my ($load, $n) = @_;
    $load->fault("reload $n", sub { $t->reload(wait => 0) });
    push @epochs, poll(10, 'the epoch has grown', sub {
        my $epoch = eval { $t->epoch } // 0;
        return $epoch > $epochs[-1] && $epoch;
    });
    # The workers of the configuration before last are gone: reloads pile up neither processes nor slots.
    poll(20, 'the old workers have left', sub { 2 == $t->workers });
    $reloads++;
}, audit => { surplus => 'none' });
note("epochs @epochs");
is(scalar @epochs, $reloads + 1, "the epoch grew at each of $reloads reloads");

$t->row(10, 'badconf', 3, sub {
    my ($load, $n) = @_;
    my ($epoch, @workers) = ($t->epoch, $t->workers);
    $load->fault("nginx -t $n", sub { is(($t->check)[0], 0, 'nginx -t of a good configuration') });
    $t->spine_conf(http => 'sparkngin_format nonsense;');
    $load->fault("nginx -t and a reload of a broken configuration $n", sub {
        is(($t->check)[0], 1, 'nginx -t of a broken one');
        my $before = complaints();
        kill HUP => $t->master;
        poll(10, 'the master refuses it', sub { complaints() > $before });
    });
    $t->spine_conf(http => '');
    $load->wait_more(500);
    is_deeply([ $t->workers ], \@workers, 'the workers are the same');
    is($t->epoch, $epoch, 'and so is the publisher');
}, audit => { surplus => 'none' });
$t->{expected} = qr/\[emerg\] .*sparkngin_format/;

$t->close_books;
$t->finish;

sub complaints { return scalar(() = $t->error_log =~ /\[emerg\] .*sparkngin_format/g) }
