package Sparkngin::Load;

# Events at a rate, while faults strike: the issuer's own book of what each event was answered. Faults are struck
# through `fault`, which sees to it that they strike under load, and remembers when.

use strict;
use warnings;
use Test::More;
use Time::HiRes 'time';
use Sparkngin ();
use Sparkngin::Poll qw(poll pause_until);

our $ISSUER = "$Sparkngin::BUILD/issuer";
my $FILLER = join('', 0 .. 9, 'a' .. 'z') x 13;
my $loads = 0;
my $next = 'a';    # after z comes aa

# new($t, rate => 2000, connections => 32, topic => 'load.a', topics => 1, bodies => 0, levels => 0, count => n, requests => file,
# ports => [...]): starts at once. Ids are unique among all loads of a test, and so is the topic unless it is given.
sub new {
    my ($class, $t, %opt) = @_;
    my $self = bless {
        t => $t, prefix => $next++, log => "$t->{dir}/load.$loads", events => [], faults => [],
        topics => 1, %opt,
    }, $class;
    $loads++;
    $self->{topic} //= "load.$self->{prefix}";
    my @command = ($ISSUER, '--log', $self->{log}, '--prefix', $self->{prefix},
        '--ports', join ',', @{ $self->{ports} // [ $t->port ] });
    for my $name (qw(rate connections topic topics bodies levels count requests path patience)) {
        push @command, "--$name", $self->{$name} if defined $self->{$name};
    }
    pipe my $in, my $hold or die "pipe: $!\n";
    $self->{hold} = $hold;
    $self->{daemon} = $t->daemon(name => "issuer.$self->{prefix}", stdin => $in, command => \@command);
    close $in;
    return $self;
}

# The data of the n-th event, as the issuer makes it.
sub data {
    my ($self, $id) = @_;
    my ($n) = $id =~ /(\d+)$/;
    return "$id." . substr $FILLER, $n % 36, $n * 37 % 400;
}

# Reads what the issuer has written since the last look.
sub look {
    my ($self) = @_;
    open my $in, '<', $self->{log} or return;
    seek $in, $self->{read} // 0, 0;
    while (my $line = readline $in) {
        last if $line !~ /\n$/;
        $self->{read} += length $line;
        my ($id, $status, $sent, $done) = split ' ', $line;
        push @{ $self->{events} }, { id => $id, status => $status, sent => $sent / 1e6, done => $done / 1e6 };
        $self->{taken}++ if $status == 204;
    }
}

# How many events were answered with success so far.
sub taken { $_[0]->look; return $_[0]{taken} // 0 }

sub wait_taken {
    my ($self, $count, $seconds) = @_;
    return poll($seconds // 60, "$count events more are taken", sub { $self->taken >= $count });
}

# Waits until `count` events more than now have been taken.
sub wait_more {
    my ($self, $count, $seconds) = @_;
    return $self->wait_taken($self->taken + $count, $seconds);
}

# Successes whose answer came within [from, to].
sub within {
    my ($self, $from, $to) = @_;
    my $n = 0;
    for (my $i = $#{ $self->{events} }; $i >= 0; $i--) {
        my $event = $self->{events}[$i];
        last if $event->{done} < $from - 1;    # answers are written in their order, but for a poll's worth
        $n++ if $event->{status} == 204 && $event->{done} >= $from && $event->{done} <= $to;
    }
    return $n;
}

# fault('worker killed', sub { ... }): waits until 1,000 successes a second are coming in, strikes, and remembers when
# it began and when it was over; `report` then demands successes within 100 ms before and after.
sub fault {
    my ($self, $name, $strike) = @_;
    eval {
        poll(30, "1000 successes/s before: $name", sub {
            $self->look;
            my $now = time;
            return $self->within($now - 0.25, $now) >= 250;
        });
    } or die $@ . ' ' . pressure() . "\n";
    my $begin = time;
    my @result = $strike->();
    push @{ $self->{faults} }, { name => $name, begin => $begin, end => time, pressure => pressure() };
    return wantarray ? @result : $result[0];
}

# How starved of CPU the machine was, as the kernel says: with much of it, a lack of successes says nothing of ours.
sub pressure {
    open my $in, '<', '/proc/pressure/cpu' or return 'CPU pressure unknown';
    my ($percent) = (readline $in) =~ /avg10=(\d+)/;
    return "CPU pressure $percent %" . ($percent > 40 ? ', starved' : '');
}

# Ends it: nothing more is sent, what is under way gets its answer. Then the book is complete.
sub stop {
    my ($self) = @_;
    return $self if $self->{stopped}++;
    close delete $self->{hold};
    my $code = $self->{daemon}->ended(30);
    die "the issuer failed ($code): " . $self->{daemon}->log_text if $code;
    $self->look;
    return $self;
}

# Waits until all of `count` or `requests` were sent and answered.
sub complete {
    my ($self, $seconds) = @_;
    $self->{daemon}->ended($seconds // 120);
    return $self->stop;
}

# Prints how it went, and asserts that each fault struck under load.
sub report {
    my ($self) = @_;
    $self->stop;
    my (%by, %faults);
    $by{ $_->{status} }++ for @{ $self->{events} };
    my $events = @{ $self->{events} };
    my $seconds = $events ? $self->{events}[-1]{done} - $self->{events}[0]{sent} : 0;
    note(sprintf '%d events in %.1f s: %s', $events, $seconds, join ', ',
        map { ($_ || 'no answer') . " $by{$_}" } sort { $b <=> $a } keys %by);
    for my $fault (@{ $self->{faults} }) {
        my $before = $self->within_all($fault->{begin} - 0.1, $fault->{begin});
        my $after = $self->within_all($fault->{end}, $fault->{end} + 0.1);
        push @{ $faults{ $before && $after ? 'under load' : 'not' } }, "$fault->{name} ($before, $after; $fault->{pressure})";
    }
    is(join('; ', @{ $faults{not} // [] }), '', 'successes within 100 ms before and after each of '
        . @{ $self->{faults} } . ' faults') if @{ $self->{faults} };
    return $self;
}

sub within_all {
    my ($self, $from, $to) = @_;
    return scalar grep { $_->{status} == 204 && $_->{done} >= $from && $_->{done} <= $to } @{ $self->{events} };
}

sub events { return @{ $_[0]->stop->{events} } }

1;
