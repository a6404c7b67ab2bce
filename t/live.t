#!/usr/bin/perl

# The live port, read by a ZeroMQ client that knows nothing of us (pyzmq): one topic in each format, with and without
# gzip; late and early; a stopped one beside a fast one.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Uncompress::Gunzip ();
use JSON::PP;
use Test::More;
use Sparkngin::Spine;

my @fields = qw(version ip time_stamp level topic user-agent page data sg);
my $t = Sparkngin::Spine->new(live_conf('plain', 'off'));
my $sent = 0;

for my $format (qw(plain json binary envelope)) {
    for my $gzip (qw(off on)) {
        $t->spine_conf(live_conf($format, $gzip));
        $t->reload->ready;
        my $stranger = stranger("$format.$gzip", 'live.a', 3);
        send_event('live.b', 'not for it');
        send_event('live.a', $_) for 'one', "caf\xc3\xa9 \"quoted\" 100%", "tab\tand space";
        my @messages = messages($stranger, 3);
        is($stranger->ended, 0, "$format, gzip $gzip: it has its three and leaves");
        is_deeply([ map { $_->[0] } @messages ], [ ('live.a') x 3 ], 'the topic is the first frame, and only its own come');
        my @payloads = map { $_->[1] } @messages;
        is((grep { /^\x1f\x8b/ } @payloads) + 0, $gzip eq 'on' ? 3 : 0, $gzip eq 'on' ? 'each is gzip' : 'none is gzip');
        if ($gzip eq 'on') { @payloads = map { unpacked($_) } @payloads }
        my @values = map { decoded($format, $_) } @payloads;
        is_deeply([ map { $_->{data} } @values ], [ 'one', "caf\x{e9} \"quoted\" 100%", "tab\tand space" ], 'the data is what was sent');
        is_deeply([ map { [ @$_{qw(version level page user-agent ip)} ] } @values ],
            [ ([ '1', 'info', '/a b', 'a test', '127.0.0.1' ]) x 3 ], 'and so are the other fields');
        my @seqs = map { $_->{sg} =~ /-(\d+-\d+)$/ } @values;
        is(scalar @seqs, 3, 'each says its place: region-stream-seq');
    }
}

# Late: what came in while nobody listened is delivered when somebody does, the oldest first.
$t->spine_conf(live_conf('json', 'off'));
$t->reload->ready;
send_event('late', "n$_") for 1 .. 50;
my $late = stranger('late', 'late', 50);
my @late = map { decoded('json', $_->[1]) } messages($late, 50);
is_deeply(in_order(@late), [], 'each stream in its order');
is_deeply([ sort map { $_->{data} } @late ], [ sort map { "n$_" } 1 .. 50 ], 'late: all that came in before is delivered');
is($late->ended, 0, 'and it leaves');

# Early: one leaves in the middle, the other misses nothing.
my $leaving = stranger('leaving', 'early', 3);
my $staying = stranger('staying', 'early', 100);
meet('early', $leaving, $staying);
send_event('early', "n$_") for 1 .. 100;
is($leaving->ended, 0, 'early: one leaves after three');
is_deeply([ sort map { decoded('json', $_->[1])->{data} } messages($staying, 100) ], [ sort map { "n$_" } 1 .. 100 ], 'the other has all');
$staying->ended;

# Stopped beside fast: the fast one is not held up for long, and Kafka misses nothing.
my $stopped = stranger('stopped', 'load');
my $fast = stranger('fast', 'load');
meet('load', $stopped, $fast);
$stopped->signal('STOP');
my $load = $t->load(rate => 6000, count => 40_000);
$load->complete(60);
$t->audit($load, name => 'with a stopped live reader');
my $lines = poll(60, 'the fast one goes on', sub {
    my $n = () = $fast->log_text('out') =~ /^[0-9a-f]+ .*\n/gm;
    return $n > 20_000 && $n;
});
my @fast = map { { sg => $_->[1] =~ /"sg":"([^"]+)"/ } } messages($fast, $lines);
is_deeply(in_order(@fast), [], 'the fast one goes on, each stream in its order');
note('the fast one has ' . @fast . ' of 40,000; dropped at full pipes: ' . $t->status->{live}{dropped});
$stopped->signal('CONT');
$_->stop for $stopped, $fast;

$t->{totals}{taken} += $sent;
$t->drained->close_books;
$t->finish;

sub live_conf {
    my ($format, $gzip) = @_;
    return (http => <<"CONF");
    sparkngin_format $format;
    sparkngin_gzip $gzip;
    sparkngin_fields @{[ map { "%$_%" } @fields ]};
CONF
}

sub stranger {
    my ($name, $prefix, $count) = @_;
    return $t->daemon(name => "stranger.$name", out => "$t->{dir}/stranger.$name.out", command => [
        $Sparkngin::PYTHON, "$Sparkngin::ROOT/t/lib/stranger.py", 'tcp://127.0.0.1:' . $t->port('live'), $prefix, $count // () ]);
}

# Waits until all of these are connected: an event is live for who is there.
sub meet {
    my ($prefix, @strangers) = @_;
    poll(30, "all meet at $prefix", sub {
        send_event("hello.$prefix", 'is anybody there');
        return !grep { $_->log_text('out') !~ /^hello$/m } @strangers;
    });
}

sub messages {
    my ($stranger, $count) = @_;
    my @lines;
    poll(30, "$count messages for $stranger->{name}", sub {
        @lines = grep { /^[0-9a-f]+ / } split /\n/, $stranger->log_text('out');
        return @lines >= $count;
    });
    return map { [ map { pack 'H*', $_ } split / /, $_ ] } @lines;
}

sub send_event {
    my ($topic, $data) = @_;
    my $answer = $t->get("/sn/log?topic=$topic&level=info&ver=1&page=%2Fa+b&data=" . encode($data), headers => [ 'User-Agent' => 'a test' ]);
    is($answer->{status}, 204, "$topic is taken") if $answer->{status} != 204;
    $sent++ if $answer->{status} == 204;
}

sub unpacked {
    my ($bytes) = @_;
    IO::Uncompress::Gunzip::gunzip(\$bytes => \my $text) or die "gunzip: $IO::Uncompress::Gunzip::GunzipError\n";
    return $text;
}

# name -> value of a message, all as text. The binary one by the example's decoder.
sub decoded {
    my ($format, $bytes) = @_;
    if ($format eq 'plain') {
        my %value;
        @value{@fields} = map { s/\\x([0-9A-F]{2})/chr hex $1/ger } split / /, $bytes, -1;
        utf8::decode($value{$_}) for keys %value;
        return \%value;
    }
    if ($format eq 'binary') {
        my $file = $t->write_file('message', $bytes);
        my ($code, $text) = $t->run('/bin/sh', '-c', "$Sparkngin::PYTHON $Sparkngin::ROOT/examples/decode.py binary < $file");
        die "decode.py: $text\n" if $code;
        $bytes = $text;
    }
    my $value = JSON::PP->new->utf8->decode($bytes);
    $value = { %{ $value->{header} }, %{ $value->{fields} // {} }, data => $value->{data} } if $value->{header};
    $value->{data} = $value->{data}{data} if ref $value->{data};
    return $value;
}

# The places where a stream's seqs do not rise.
sub in_order {
    my (%last, @wrong);
    for my $value (@_) {
        my ($stream, $seq) = $value->{sg} =~ /^(.*)-(\d+)$/ or next;
        push @wrong, $value->{sg} if $seq <= ($last{$stream} // 0);
        $last{$stream} = $seq;
    }
    return \@wrong;
}
