#!/usr/bin/perl
# `sparkngin top`: on a terminal (a real one, of the kernel's) it shows a real nginx and subscriber, and what is away;
# elsewhere it prints.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Encode 'decode';
use Fcntl;
use Sparkngin::Spine;
use Test::More;

my $t = Sparkngin::Spine->new(kafka => 0, start => 0);
my ($sn, $own) = $t->watched('a');

# --- elsewhere ---

my $whole = qr/^sparkngin top  all is well\n\Q$sn\E  well\n  in \S+  refused 0  lost 0\n  ring \[[#.]{20}\] \d+ %.*\n  kafka connected  behind 0 events, 0\.0 s  in Kafka 1  half within [\d.]+ s  99 % within [\d.]+ s\n\Q$own\E  ready\n  feeds 1 of 1  delivered 1  open 0  dead 0\n/;
is($t->post('/sn/log?topic=a', 'x')->{status}, 204, 'an event');
$t->drained;
my $once = poll(60, 'the event is seen in a frame', sub {
    my ($code, $text) = $t->run($Sparkngin::PROGRAM, 'top', '--once', $sn, '--subscriber', $own);
    die "$code: $text" if $code;
    return $text =~ $whole && $text;
});
pass('one frame, plain');
unlike($once, qr/\e/, '  without escapes');
my ($code, $text) = $t->run($Sparkngin::PROGRAM, 'top', '--once', 'https://a/');
like("$code $text", qr{^2 sparkngin: https://a/: it must be http://}, 'a URL that is none');

# --- on a terminal ---

# Starts it on a terminal of so many columns and rows.
sub top {
    my ($columns, $rows, %opt) = @_;
    sysopen my $master, '/dev/ptmx', O_RDWR | O_NOCTTY | O_NONBLOCK or die "/dev/ptmx: $!\n";
    my ($locked, $number) = (pack('i', 0), pack('I', 0));
    ioctl $master, 0x40045431, $locked or die "TIOCSPTLCK: $!\n";
    ioctl $master, 0x80045430, $number or die "TIOCGPTN: $!\n";
    my $path = '/dev/pts/' . unpack 'I', $number;
    sysopen my $slave, $path, O_RDWR | O_NOCTTY or die "$path: $!\n";
    my $size = pack 'S4', $rows, $columns, 0, 0;
    ioctl $master, 0x5414, $size or die "TIOCSWINSZ: $!\n";
    my $top = $t->daemon(
        name => 'top', env => $opt{env} // { NO_COLOR => '' }, stdin => $slave, out => $path,
        command => [$Sparkngin::PROGRAM, 'top', '--interval', '1', $sn, @{ $opt{more} // [] }, '--subscriber', $own]);
    return { top => $top, path => $path, master => $master, slave => $slave, said => '' };
}

# All that it wrote until now.
sub said {
    my ($self) = @_;
    1 while sysread $self->{master}, $self->{said}, 65536, length $self->{said};
    return $self->{said};
}

# The lines of the last whole frame, without their colours.
sub frame {
    my ($self) = @_;
    my ($frame) = said($self) =~ /.*\e\[H(.*?)\e\[J/s or return '';
    return decode('UTF-8', $frame =~ s/\e\[[\d;]*[mK]//gr =~ s/\r//gr);
}

sub shows {
    my ($self, $pattern) = @_;
    poll(60, "the terminal shows $pattern", sub {
        die 'top ended: ' . $self->{top}->log_text if !$self->{top}->running;
        return frame($self) =~ $pattern;
    });
    return pass("the terminal shows $pattern");
}

# Its exit code, when it ends: what it writes is read meanwhile, for a full terminal would hold it.
sub left {
    my ($self) = @_;
    poll(30, 'top ends', sub { said($self); !$self->{top}->running });
    return $self->{top}->ended;
}

my $top = top(100, 30);
shows($top, qr/^sparkngin top  all is well\n\Q$sn\E  well\n/);
like(said($top), qr/\e\[\?1049h.*\e\[32mall is well\e\[0m/s, '  on a screen of its own, in colours');
shows($top, qr/^  in [\d.]+\/s  [\x{2581}-\x{2588}]{2,}  refused 0/m);
$t->post('/sn/log?topic=a', 'x');
shows($top, qr/ in Kafka 2\b/);
$t->{subscriber}->stop;
shows($top, qr/^  kafka away  behind 0 events/m);
shows($top, qr/^\Q$own\E  does not answer: /m);
like(said($top), qr/\e\[1;31mkafka away\e\[0m/, '  in red');
syswrite $top->{master}, 'xyq';
is(left($top), 0, 'q ends it');
like(said($top), qr/\e\[\?25h\e\[\?1049l\z/, '  and gives the screen back');
like(`stty -F $top->{path} -a`, qr/(?<!-)\bicanon\b.*(?<!-)\becho\b/s, '  and the keys');

$top = top(24, 12, env => { NO_COLOR => 1 }, more => ['http://127.0.0.1:' . $t->port('nobody') . '/sn/']);
shows($top, qr/^\.\.\. \d+ more lines/m);
my @lines = split /\n/, frame($top);
is(scalar @lines, 12, 'a small terminal has as many lines as it can');
is_deeply([grep { length > 24 } @lines], [], '  none of them too long');
unlike(said($top), qr/\e\[[\d;]*m/, '  and NO_COLOR no colours');
$top->{top}->signal('TERM');
is(left($top), 0, 'TERM ends it');
like(said($top), qr/\e\[\?1049l\z/, '  and it gives the screen back, too');
$t->finish;
