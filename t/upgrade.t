#!/usr/bin/perl

# nginx's binary upgrade under load: USR2, then QUIT to the old master; and the same after the module's file was
# replaced and a reload has met the new one. Nothing is lost, nothing is in Kafka twice.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Copy 'copy';
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new(start => 0);
$t->{module} = $t->path('module.so');
replace();
$t->spine_conf->start->ready;
$t->subscribe;
$t->attached;

$t->row(10, 'upgrade', 2, sub {
    my ($load, $n) = @_;
    upgrade($load, "upgrade $n");
}, audit => { surplus => 'none' });

$t->row(10, 'module', 1, sub {
    my ($load, $n) = @_;
    $load->fault("the module's file is replaced $n", \&replace);
    $load->fault("a reload with it $n", sub { $t->reload(wait => 0) });
    poll(20, 'the old workers have left', sub { 2 == $t->workers });
    upgrade($load, "an upgrade with it $n");
}, audit => { surplus => 'none' });

$t->close_books;
$t->finish;

sub upgrade {
    my ($load, $name) = @_;
    my ($old, $epoch) = ($t->master, $t->epoch);
    $load->fault($name, sub { $t->upgrade });
    isnt($t->master, $old, 'another master');
    poll(10, 'the epoch has grown', sub { (eval { $t->epoch } // 0) > $epoch });
    $load->wait_more(1000);
}

# As a package does it: a new file, renamed over the old one.
sub replace {
    copy("$Sparkngin::BUILD/ngx_http_sparkngin_module.so", "$t->{module}.new") or die "copy: $!\n";
    rename "$t->{module}.new", $t->{module} or die "rename: $!\n";
}
