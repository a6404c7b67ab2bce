#!/usr/bin/perl

# nginx's binary upgrade under load, three times: USR2, then QUIT to the old master. Nothing is lost.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new;
my $load = $t->load(rate => 2500);
$load->wait_more(1000);
for my $n (1 .. 3) {
    my ($old, $epoch) = ($t->master, $t->epoch);
    $load->fault("upgrade $n", sub { $t->upgrade });
    isnt($t->master, $old, 'another master');
    poll(10, 'the epoch has grown', sub { (eval { $t->epoch } // 0) > $epoch });
    $load->wait_more(1000);
}
$load->stop;
$t->audit($load, surplus => 'none');
$t->close_books;
$t->finish;
