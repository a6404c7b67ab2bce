package Sparkngin::Http;

# HTTP over a bare socket: what is sent is exactly what the test says, malformed or not.

use strict;
use warnings;
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use Time::HiRes 'time';

our @EXPORT_OK = qw(exchange request_text parse_answer encode);

# encode(bytes): for a query; every byte but unreserved ones as %xx.
sub encode {
    my ($bytes) = @_;
    $bytes =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
    return $bytes;
}

# request_text(method, target, headers => [name, value, ...], body => bytes, close => 0 or 1)
sub request_text {
    my ($method, $target, %opt) = @_;
    my @headers = @{ $opt{headers} // [] };
    my %given = map { lc $headers[2 * $_] => 1 } 0 .. @headers / 2 - 1;
    unshift @headers, Host => 'localhost' if !$given{host};
    push @headers, Connection => 'close' if $opt{close} // 1;
    push @headers, 'Content-Length' => length $opt{body}
        if defined $opt{body} && !$given{'content-length'} && !$given{'transfer-encoding'};
    my $text = "$method $target HTTP/1.1\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) { $text .= "$name: $value\r\n" }
    return "$text\r\n" . ($opt{body} // '');
}

# exchange(port, bytes, timeout => s): sends the bytes, reads until the peer closes or the answer is complete.
# Returns an answer: status 0 when none came, and `error` says why.
sub exchange {
    my ($port, $bytes, %opt) = @_;
    my $socket = $opt{socket} // IO::Socket::INET->new(
        PeerAddr => $opt{host} // '127.0.0.1', PeerPort => $port, Proto => 'tcp', Timeout => 5)
        or return { status => 0, error => "connect: $@", headers => {}, body => '', raw => '' };
    my $deadline = time + ($opt{timeout} // 10);
    my ($raw, $head_only) = ('', $bytes =~ /^HEAD /);
    local $SIG{PIPE} = 'IGNORE';
    for (my $at = 0; $at < length $bytes;) {
        my $n = syswrite $socket, $bytes, 65536, $at;
        last if !defined $n;
        $at += $n;
    }
    my $select = IO::Select->new($socket);
    while ((my $left = $deadline - time) > 0) {
        my $answer = parse_answer($raw, $head_only);
        return $answer if $answer->{complete};
        next if !$select->can_read($left);
        my $n = sysread $socket, $raw, 65536, length $raw;
        last if !$n;
    }
    my $answer = parse_answer($raw, $head_only);
    $answer->{error} = 'no answer' if !$answer->{status};
    return $answer;
}

sub parse_answer {
    my ($raw, $head_only) = @_;
    my $answer = { status => 0, headers => {}, body => '', raw => $raw, complete => 0 };
    my ($head, $rest) = $raw =~ /\A(HTTP\/1\.[01] \d{3}.*?\r\n)\r\n(.*)\z/s or return $answer;
    ($answer->{status}) = $head =~ /\AHTTP\/1\.[01] (\d{3})/;
    while ($head =~ /^([^:\r\n]+):[ \t]*([^\r\n]*)\r$/mg) {
        my ($name, $value) = (lc $1, $2);
        $answer->{headers}{$name} = defined $answer->{headers}{$name}
            ? "$answer->{headers}{$name}, $value" : $value;
    }
    $answer->{body} = $rest;
    my $length = $answer->{headers}{'content-length'};
    if ($head_only || $answer->{status} =~ /^(?:1..|204|304)$/) { $answer->{complete} = 1 }
    elsif (($answer->{headers}{'transfer-encoding'} // '') =~ /chunked/i) {
        my ($body, $ok) = unchunk($rest);
        @$answer{qw(body complete)} = ($body, $ok);
    }
    elsif (defined $length) { $answer->{complete} = length $rest >= $length }
    return $answer;
}

sub unchunk {
    my ($rest) = @_;
    my $body = '';
    while ($rest =~ s/\A([0-9a-fA-F]+)[^\r\n]*\r\n//) {
        my $size = hex $1;
        return ($body, 1) if !$size;
        return ($body, 0) if length $rest < $size + 2;
        $body .= substr $rest, 0, $size;
        substr($rest, 0, $size + 2) = '';
    }
    return ($body, 0);
}

1;
