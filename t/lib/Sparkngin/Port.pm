package Sparkngin::Port;

# Free ports, below the range that the kernel gives to outgoing connections: a port from that range could be
# taken by a client of the test while its nginx is away. A number is reserved by an abstract unix socket of
# its own as long as the test runs, so tests that run side by side never share one, and nothing is left behind.

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket;

our @EXPORT_OK = qw(free_port);

my @reservations;

sub free_port {
    my ($low, $high) = (12000, 31000);
    if (open my $range, '<', '/proc/sys/net/ipv4/ip_local_port_range') {
        my ($first) = <$range> =~ /(\d+)/;
        $high = $first if $first && $first < $high && $first > $low + 2000;
    }
    for (1 .. 1000) {
        my $port = $low + int rand($high - $low);
        my $reservation = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "\0sparkngin-port-$port", Listen => 1)
            or next;
        IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'tcp', Listen => 1, ReuseAddr => 1)
            or next;
        push @reservations, $reservation;
        return $port;
    }
    die "no free port between $low and $high\n";
}

1;
