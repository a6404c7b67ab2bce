#!/usr/bin/perl

# The oracle of the other tests sees what it is for: one event dropped, one twice, two swapped, one dropped and another
# one twice (which counts alone do not show), a byte changed, a refusal or a stranger among the records.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Sparkngin::Books;
use Sparkngin::Load;

my $load = bless { prefix => 'a' }, 'Sparkngin::Load';
my $region = 'f' x 32;
my %sent = map { ("a$_" => [ $_ % 100 ? 204 : 503, $load ]) } 1 .. 1000;
$sent{a1001} = [ 0, $load ];    # no answer: it may be there or not

is(said(records()), '', 'all is well');
is(said(records(), record(1001)), '', 'and with an event that got no answer');
is(said(sub { @_[ 1, 0, 2 .. $#_ ] }->(records())), "late $region-0-1 after 2", 'two in the wrong order');
for my $n (map { 1 + int rand 99 } 1 .. 20) {
    my $at = $n - 1;
    is(said(sub { splice @_, $at, 1; @_ }->(records())), "missing a$n", "a$n dropped");
    is(said(records(), record($n)), 'surplus 1', "a$n twice with one sg: a duplicate that is allowed after a crash");
    is(said(sub { splice @_, $at, 1; @_ }->(records()), record($n + 100)), "missing a$n, surplus 1", "a$n dropped, another one twice");
    like(said(records(), { %{ record($n) }, headers => { sg => "$region-7-1" } }), qr/torn a$n/, "a$n under two sgs");
    like(said(records(), { %{ record($n) }, partition => 3 }), qr/far/, "a$n again in another partition");
    is(said(map { changed($_, $n) } records()), "different a$n", "a byte of a$n changed");
}
is(said(swapped(records())), 'different a5 a6', 'two swapped');
like(said(sub { $_[7] = { %{ $_[7] }, headers => $_[8]{headers} }; @_ }->(records())), qr/torn/, 'one sg for two events');
like(said(records(), record(100)), qr/strange a100, answered 503/, 'one that was refused');
like(said(records(), record(2000)), qr/strange a2000, answered never/, 'one that was never sent');
like(said(records(), { %{ record(1001) }, headers => {} }), qr/strange record/, 'one without sg');
done_testing();

sub record {
    my ($n) = @_;
    my $data = $load->data("a$n");
    return { partition => 0, offset => $n, value => qq({"ip":"127.0.0.1","id":"a$n","data":"$data"}), headers => { sg => "$region-0-$n" } };
}

sub records { return map { record($_) } grep { $_ % 100 } 1 .. 1000 }

sub changed {
    my ($record, $n) = @_;
    return $record if $record->{offset} != $n;
    my $value = $record->{value} =~ s/"data":"a/"data":"b/r;
    return { %$record, value => $value };
}

sub swapped {
    my @records = @_;
    my @data = map { $records[$_]{value} =~ /"data":"(.*)"/ } 4, 5;
    for my $at (4, 5) { $records[$at]{value} =~ s/"data":".*"/"data":"$data[5 - $at]"/ }
    return @records;
}

# What the oracle says of these records, in one line.
sub said {
    my $found = Sparkngin::Books::sift([@_], \%sent);
    my %all = (%$found, missing => [ Sparkngin::Books::missing(\%sent, $found) ]);
    my @words = map { @{ $all{$_} } ? "$_ @{ $all{$_} }" : () } qw(missing different strange torn far late);
    push @words, "surplus $all{surplus}" if $all{surplus};
    return join ', ', @words;
}
