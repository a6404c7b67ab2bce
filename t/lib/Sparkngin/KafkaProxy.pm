package Sparkngin::KafkaProxy;

# Between a client and Kafka: passes everything on, and kills the client at one exact step of what they say to each
# other. A process of its own, so that nothing waits for the test.
#
#     my $proxy = Sparkngin::KafkaProxy->new($t);
#     $proxy->arm(EndTxn => 'answered');    # Kafka has committed, the client does not hear of it
#     $proxy->victim($daemon->pid);
#     $proxy->struck;                       # waits until it is dead

use strict;
use warnings;
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use Sparkngin::Poll 'poll';

my %API = (Produce => 0, Fetch => 1, InitProducerId => 22, AddPartitionsToTxn => 24, EndTxn => 26);
# before: Kafka does not get the request; sent: it does, the answer comes to nobody; answered: the answer came, and goes
# no further; passed: the client has it.
our @WHEN = qw(before sent answered passed);

sub new {
    my ($class, $t) = @_;
    pipe my $in, my $orders or die "pipe: $!\n";
    $orders->autoflush(1);
    my $self = bless { orders => $orders, address => '127.0.0.1:' . $t->port('proxy'), strikes => 0 }, $class;
    $self->{daemon} = $t->daemon(name => 'kafka-proxy', stdin => $in, command => [
        $^X, "-I$Sparkngin::ROOT/t/lib", '-MSparkngin::KafkaProxy', '-e', 'Sparkngin::KafkaProxy::serve(@ARGV)',
        $t->port('proxy'), $t->port('proxied') ]);
    close $in;
    $self->{daemon}->says(qr/^ready$/m);
    return $self;
}

sub address { $_[0]{address} }

# The $n-th such request from now on is the one.
sub arm {
    my ($self, $api, $when, $n) = @_;
    print { $self->{orders} } join(' ', 'arm', $API{$api} // die("no request $api\n"), $when, $n // 1), "\n";
    $self->has_said('armed', ++$self->{armed});
}

sub victim {
    my ($self, $pid) = @_;
    print { $self->{orders} } "victim $pid\n";
}

sub struck {
    my ($self, $seconds) = @_;
    $self->has_said('struck', ++$self->{strikes}, $seconds);
}

# Waits until it has said a word so many times.
sub has_said {
    my ($self, $word, $times, $seconds) = @_;
    poll($seconds // 30, "kafka-proxy says \"$word\" for time $times", sub { (() = $self->{daemon}->log_text =~ /^$word$/mg) >= $times });
}

# --- the process ---

my ($victim, $armed, %peer, %frames, %api_of);

sub serve {
    my ($port, $to) = @_;
    STDOUT->autoflush(1);
    my $door = IO::Socket::INET->new(Listen => 64, LocalAddr => "127.0.0.1:$port", ReuseAddr => 1) or die "listen: $!\n";
    my $select = IO::Select->new($door, \*STDIN);
    print "ready\n";
    while (1) {
        for my $from ($select->can_read) {
            if ($from == \*STDIN) { order() or return; next }
            if ($from == $door) {
                my $client = $door->accept or next;
                my $broker = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$to") or close($client), next;
                @peer{ $client, $broker } = ([ $broker, 'client' ], [ $client, 'broker' ]);
                $select->add($client, $broker);
                next;
            }
            my $there = $peer{$from} or next;
            my $n = sysread $from, $frames{$from}, 1 << 20, length($frames{$from} // '');
            next if $n && pass($from, @$there);
            for my $end ($from, $there->[0]) {
                $select->remove($end);
                delete $_->{$end} for \%peer, \%frames, \%api_of;
                close $end;
            }
        }
    }
}

# One line from the test. Read byte by byte: what is buffered would not be seen by select.
sub order {
    my $line = '';
    while ($line !~ /\n/) { return 0 if !sysread STDIN, $line, 1, length $line }
    my ($what, @words) = split ' ', $line;
    if ($what eq 'victim') { $victim = $words[0] }
    else { $armed = { api => $words[0], when => $words[1], left => $words[2] }; undef $victim; print "armed\n" }
    return 1;
}

# Passes whole frames on; false when the connection is to end.
sub pass {
    my ($from, $to, $side) = @_;
    my $key = $side eq 'client' ? "$from" : "$to";
    while (length $frames{$from} >= 4) {
        my $length = 4 + unpack 'N', $frames{$from};
        last if length $frames{$from} < $length;
        my $frame = substr $frames{$from}, 0, $length, '';
        my $strikes = 0;
        if ($side eq 'client') {
            my ($api, undef, $id) = unpack 'x4 n n N', $frame;
            $api_of{$key}{$id} = $api;
            if ($armed && $api == $armed->{api} && !--$armed->{left}) {
                return strike() if $armed->{when} eq 'before';
                $strikes = $armed->{when} eq 'sent';
                $armed->{answer} = "$key $id";
            }
        }
        else {
            my $id = unpack 'x4 N', $frame;
            delete $api_of{$key}{$id};
            if ($armed && ($armed->{answer} // '') eq "$key $id") {
                return strike() if $armed->{when} eq 'answered';
                $strikes = 1;
            }
        }
        for (my $at = 0; $at < length $frame;) {
            my $n = syswrite $to, $frame, length($frame) - $at, $at;
            return strike() if !$n && $strikes;
            return 0 if !$n;
            $at += $n;
        }
        return strike() if $strikes;
    }
    return 1;
}

sub strike {
    order() or return 0 while !$victim;
    kill KILL => $victim;
    undef $armed;
    print "struck\n";
    return 0;
}

1;
