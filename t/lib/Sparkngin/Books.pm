package Sparkngin::Books;

# The oracle. An obligation is an event that was answered with success: each one must be in Kafka, every byte of it;
# what is there twice carries the same sg; what was refused is nowhere; and the books close, each term taken from a
# source of its own: the issuer's log and /status for what was committed, the consumed topics for what is in Kafka and
# in the dead letter, `sparkngin ring dump` for what is in the ring, the subscriber's LOST for what is lost.

# The exported ones are methods of a Sparkngin::Spine.

use strict;
use warnings;
use Exporter 'import';
use Test::More;

our @EXPORT = qw(audit close_books lost_told);

# audit($load, ..., surplus => 'none', lost => 'counted', drain => 0, name => '...'): compares loads, which it stops,
# with everything that is in their topics. With lost => 'counted' as many may be missing as the subscriber was told, with
# a number that many.
sub audit {
    my ($self, @args) = @_;
    my @loads;
    push @loads, shift @args while @args && ref $args[0];
    my %opt = @args;
    my $what = $opt{name} ? "$opt{name}: " : '';
    $_->report for @loads;
    $self->drained($opt{seconds}) if $opt{drain} // 1;

    my %sent = map { my $load = $_; map { $_->{id} => [ $_->{status}, $load ] } $load->events } @loads;
    my %topics = $self->{kafka}->topics;
    my %prefix = map { $_->{topic} => 1 } @loads;
    my @records = map { $self->{kafka}->read($_) } grep { my $topic = $_; grep { $topic =~ /^\Q$_\E(?:-\d+)?$/ } keys %prefix } sort keys %topics;
    my $all = $self->{sent} //= {};    # a topic may have events of an earlier load
    @$all{ keys %sent } = values %sent;
    my $found = sift(\@records, $all);

    my @missing = missing(\%sent, $found);
    my $lost = $opt{lost} // 0;
    $lost = $self->lost_told - ($self->{totals}{missing} // 0) if $lost eq 'counted';
    my $obligations = grep { $_->[0] == 204 } values %sent;
    # 504: stored, but too late for an answer that says where it is.
    my $unanswered = grep { $_->[0] == 0 || $_->[0] == 504 } values %sent;
    is(scalar @missing, $lost, "${what}of $obligations events answered with success " . ($lost ? "$lost are" : 'none is') . ' missing in Kafka')
        or diag('the first: ', few(@missing));
    is(few(@{ $found->{different} }), '', "${what}each has the bytes that were sent");
    is(few(@{ $found->{strange} }), '', "${what}nothing that was refused or never sent is in Kafka");
    is(few(@{ $found->{torn} }), '', "${what}an event has one sg, and an sg one event");
    is(few(@{ $found->{far} }), '', "${what}a duplicate is in the partition of the first");
    is(few(@{ $found->{late} }), '', "${what}each stream is in its order");
    if (($opt{surplus} // '') eq 'none') {
        is($found->{surplus}, 0, "${what}no duplicates");
    }
    note(sprintf '%s%d records, %d duplicates with equal sg, %d events without an answer', $what, scalar @records,
        $found->{surplus}, $unanswered);
    $self->{totals}{taken} += $obligations;
    $self->{totals}{unanswered} += $unanswered;
    $self->{totals}{missing} += @missing;
    my $wrong = @missing - $lost;
    $wrong += @{ $found->{$_} } for qw(different strange torn far late);
    $found->{figures} = {
        sent => scalar keys %sent, ok => $obligations, unanswered => $unanswered,
        refused => keys(%sent) - $obligations - $unanswered, kafka => scalar keys %{ $found->{sgs} },
        dup => $found->{surplus}, lost => $lost, unexplained => $wrong,
    };
    settle($self, @loads) if $opt{settle};
    return $found;
}

# What came of these loads is known and stays so: of their topics only the number of records and of their sgs is kept,
# and their events are forgotten. For long runs.
sub settle {
    my ($self, @loads) = @_;
    for my $load (@loads) {
        my @records = $self->{kafka}->read($load->{topic});
        my %sgs = map { $_->{headers}{sg} => 1 } @records;
        $self->{settled}{ $load->{topic} } = { records => scalar @records, sgs => scalar keys %sgs };
        $load->{events} = [];
    }
    $self->{sent} = {};
}

# The whole ring's books, over all that the test's audits have seen: committed = in Kafka + in ring + lost + dead + uncertain.
sub close_books {
    my ($self, %opt) = @_;
    my $taken = $self->{totals}{taken} // 0;
    my $unanswered = $self->{totals}{unanswered} // 0;
    my $books = $self->books;
    my %topics = $self->{kafka}->topics;
    my %in_kafka = %{ $self->{deleted} // {} };    # what was there before a test deleted its topic
    my %dead;
    my ($settled, $changed) = (0, 0);
    for my $topic (grep { !/^__|^sparkngin\.cursors$/ } sort keys %topics) {
        if (my $known = $self->{settled}{$topic}) {
            $settled += $known->{sgs};
            $changed += $self->{kafka}->count($topic) - $known->{records};
            next;
        }
        my $into = $topic eq 'sparkngin.dead' ? \%dead : \%in_kafka;
        # A note of a hole, in the dead letter, has no sg.
        $into->{$_} = 1 for grep { defined } map { $_->{headers}{sg} } $self->{kafka}->read($topic);
    }
    my ($code, $dump) = $self->run($Sparkngin::PROGRAM, 'ring', 'dump', '--unacked', $self->{name}, "$self->{dir}/ring");
    is($code, 0, 'ring dump reads the ring') or diag($dump);
    my $in_ring = () = $dump =~ /^\{/mg;
    my $lost = $self->lost_told;
    is($changed, 0, 'nothing came to a topic whose load had ended') if $self->{settled};
    my $consumed = keys(%in_kafka) + $settled;
    my $sum = $consumed + $in_ring + $lost + keys(%dead) + $books->{uncertain};
    is($sum, $books->{committed}, sprintf 'the books close: %d committed = %d in Kafka + %d in the ring + %d lost + %d dead + %d uncertain',
        $books->{committed}, $consumed, $in_ring, $lost, scalar keys %dead, $books->{uncertain});
    ok($books->{committed} >= $taken && $books->{committed} <= $taken + $unanswered + ($opt{beside} // 0),
        "committed is what was answered with success, $taken, and at most the $unanswered without an answer")
        or diag("committed $books->{committed}");
    is($books->{in_kafka}, $consumed, '/status and Kafka agree on what is in Kafka');
    is($books->{lost}, $lost, '/status and LOST agree on what is lost');
    return $books;
}

# How many events the subscriber was told to be LOST, as it counts itself.
sub lost_told {
    my ($self) = @_;
    my $metrics = $self->get('/metrics', port => $self->{metrics})->{body};
    my ($lost) = $metrics =~ /^sparkngin_feed_lost_events_total(?:\{.*\})? (\d+)$/m;
    return $lost // die "the subscriber's /metrics has no lost_events_total: $metrics\n";
}

# Sorts consumed records by id and sg. What an event's value holds is read without a JSON parser: id and data of the
# issuer's events are plain letters and digits.
sub sift {
    my ($records, $sent) = @_;
    my %found = (ids => {}, sgs => {}, surplus => 0, different => [], strange => [], torn => [], far => [], late => []);
    my %last;    # partition and stream -> the last seq that was new there
    for my $record (@$records) {
        my ($id) = $record->{value} =~ /"id":"([\w-]+)"/;
        my $sg = $record->{headers}{sg};
        my $at = "$record->{partition}/$record->{offset}";
        if (!defined $id || !defined $sg) { push @{ $found{strange} }, "record $at without id or sg: " . substr $record->{value}, 0, 100; next }
        my $sent = $sent->{$id};
        if (!$sent || ($sent->[0] && $sent->[0] != 204 && $sent->[0] != 504)) { push @{ $found{strange} }, "$id, answered " . ($sent ? $sent->[0] : 'never'); next }
        if (my $first = $found{sgs}{$sg}) {
            $found{surplus}++;
            push @{ $found{torn} }, "$sg: $first->[0] and $id" if $first->[0] ne $id;
            push @{ $found{far} }, "$sg: $first->[1] and $record->{partition}" if $first->[1] != $record->{partition};
            next;
        }
        $found{sgs}{$sg} = [ $id, $record->{partition} ];
        my ($stream, $seq) = $sg =~ /^(.*)-(\d+)$/ or die "no sg: $sg\n";
        my $place = "$record->{partition} $stream";
        push @{ $found{late} }, "$sg after $last{$place}" if ($last{$place} // 0) > $seq;
        $last{$place} = $seq;
        push @{ $found{torn} }, "$id: $found{ids}{$id} and $sg" if $found{ids}{$id};
        $found{ids}{$id} = $sg;
        my ($data) = $record->{value} =~ /"data":"([^"\\]*)"/;
        push @{ $found{different} }, $id if $sent->[1]{prefix} && ($data // '') ne $sent->[1]->data($id);
    }
    return \%found;
}

# The obligations that were not met.
sub missing {
    my ($sent, $found) = @_;
    return grep { $sent->{$_}[0] == 204 && !$found->{ids}{$_} } sort keys %$sent;
}

sub few {
    my @some = @_;
    my $more = @some > 5 ? sprintf ' and %d more', @some - 5 : '';
    return join('; ', @some > 5 ? @some[ 0 .. 4 ] : @some) . $more;
}

1;
