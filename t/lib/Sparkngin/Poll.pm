package Sparkngin::Poll;

# Waiting: the one place in t/ where time passes on purpose. Everybody else
# says what must become true, and until when.

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes 'time';

our @EXPORT_OK = qw(poll pause_until);

# poll(seconds, what, code): the first true value of code. Dies with `what` when the deadline passes: a test that
# went on without it would only report something else later.
sub poll {
    my ($seconds, $what, $code) = @_;
    my $deadline = time + $seconds;
    my $step = 0.002;
    while (1) {
        my $value = $code->();
        return $value if $value;
        die "not within $seconds s: $what\n" if time > $deadline;
        select undef, undef, undef, $step;
        $step *= 1.5 if $step < 0.05;
    }
}

# pause_until(moment): lets load run on until a moment (seconds since 1970), for measurements over time.
sub pause_until {
    my ($moment) = @_;
    while ((my $left = $moment - time) > 0) { select undef, undef, undef, $left }
}

1;
