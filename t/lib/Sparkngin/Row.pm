package Sparkngin::Row;

# Rows of the campaign: a fault is struck so many times under load, the books are compared, and one line says it in
# figures, which tools/campaign adds up:
#
#     row 10: fault=worker, strikes=3, sent=5210, ok=5204, refused=0, unanswered=6, kafka=5209, dup=0, lost=0, unexplained=0
#
# COUNT=n says how often, FAULT=name chooses one of a file's faults, SEED=n repeats its choices. The exported ones are
# methods of a Sparkngin::Spine.

use strict;
use warnings;
use Exporter 'import';
use Test::More;

our @EXPORT = qw(row figures);
our @EXPORT_OK = qw(chosen seed);

# Whether this fault is to be struck in this run.
sub chosen { return ($ENV{FAULT} // $_[0]) eq $_[0] }

# The run's seed, printed once; perl's own random numbers follow from it.
my $seed;
sub seed {
    return $seed if defined $seed;
    $seed = $ENV{SEED} // time % 1_000_000;
    srand $seed;
    note("SEED=$seed");
    return $seed;
}

# With a count of 0 it is struck only on demand: it takes too long for every day.
# row(10, 'worker', 3, sub { my ($load, $n) = @_; strike once }, load => {...}, audit => {...}): strikes COUNT times, 3
# unless told, under one load; then the audit, and the figures.
sub row {
    my ($self, $row, $fault, $count, $strike, %opt) = @_;
    return if !chosen($fault);
    seed();
    $count = $ENV{COUNT} // $count or return;
    # Several events in a body, compressed and chunked ones go through each fault, too; and some of it asks for `disk` and
    # `kafka`: what a success means there is promised as well.
    my $load = $self->load(rate => 2500, levels => 1, bodies => 1, %{ $opt{load} // {} });
    $load->wait_more(1000);
    $strike->($load, $_) for 1 .. $count;
    $load->wait_more(1000);
    my $found = $self->audit($load, name => $fault, %{ $opt{audit} // {} });
    return $self->figures($row, fault => $fault, strikes => $count, %{ $found->{figures} }, $opt{more} ? $opt{more}->($load) : ());
}

# figures(10, key => value, ...): the line itself. Keys that end in _max, _ms, _s or _mb are the largest when several
# runs are put together, the others are added.
my @ORDER = qw(fault strikes sent ok refused unanswered kafka dup lost unexplained);
sub figures {
    my ($self, $row, %figure) = @_;
    my %first = map { $ORDER[$_] => $_ } 0 .. $#ORDER;
    my @keys = sort { ($first{$a} // 99) <=> ($first{$b} // 99) || $a cmp $b } keys %figure;
    note("row $row: " . join ', ', map { "$_=$figure{$_}" } @keys);
    return \%figure;
}

1;
