#!/usr/bin/perl

# 20 reloads under load: nothing is lost, nothing is in Kafka twice, and each time the publisher's epoch grows.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new;
my $load = $t->load(rate => 2500);
$load->wait_more(1000);
my @epochs = $t->epoch;
for my $n (1 .. 20) {
    $load->fault("reload $n", sub { $t->reload(wait => 0) });
    push @epochs, poll(10, 'the epoch has grown', sub {
        my $epoch = eval { $t->epoch } // 0;
        return $epoch > $epochs[-1] && $epoch;
    });
    # The workers of the configuration before last are gone: reloads pile up neither processes nor slots.
    poll(20, 'the old workers have left', sub { 2 == $t->workers });
}
note("epochs @epochs");
is(scalar @epochs, 21, 'the epoch grew at each of 20 reloads');
$load->wait_more(1000);
$load->stop;
$t->audit($load, surplus => 'none');
$t->close_books;
$t->finish;
