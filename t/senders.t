#!/usr/bin/perl
# Senders that know nothing of Sparkngin, as a site lets them in: Segment's SDK, OpenTelemetry's exporter, curl and h2load. What
# they send is in Kafka byte for byte; what they have compressed, as it was before.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 'md5_hex';
use JSON::PP;
use MIME::Base64 'decode_base64';
use Sparkngin::Spine;
use Test::More;

# The paths are the senders' own.
my $t = Sparkngin::Spine->new(http => 'client_body_buffer_size 8k;', server => <<'CONF');
        listen 127.0.0.1:%%PORT_h2%% http2;
        location = /v1/batch  { rewrite ^ /log break; sparkngin_root_loc; sparkngin_topic segment; }
        location = /v1/traces { rewrite ^ /log break; sparkngin_root_loc; sparkngin_topic otlp; sparkngin_max_event 64k; }
CONF
my $json = JSON::PP->new->utf8;
my $site = 'http://127.0.0.1:' . $t->port;
my $h2 = 'http://127.0.0.1:' . $t->port('h2');
my @python = ($Sparkngin::PYTHON, "$FindBin::Bin/senders/send.py", "$Sparkngin::BUILD/senders");

sub sends {
    my ($what, $says, @command) = @_;
    my ($code, $text) = $t->run(@command);
    is($code, 0, $what) or diag $text;
    like($text, $says, '  and is answered with success');
    return $text;
}

my %sum;    # of what each SDK has sent
for my $row (['segment', "Segment's SDK", $site], ['otlp', "OpenTelemetry's exporter", "$site/v1/traces"]) {
    my ($name, $what, $url) = @$row;
    my $said = sends("$what, without and with gzip", qr/\A$name none \w{32}\n$name gzip \w{32}\n\z/, @python, $name, $url);
    my @sums = $said =~ /(\w{32})/g;
    $sum{$name} = [sort @sums];
}

# curl: a file of every byte, so of none that reads as text or JSON.
my $bytes = join '', map { chr(($_ * 7 + int $_ / 256) % 256) } 0 .. 19_999;
$t->write_file('bytes', $bytes);
my @curl = ('curl', '-sS', '-o', $t->path('answer'), '-w', '%{http_code} %{http_version}', '--data-binary', '@' . $t->path('bytes'), '-H', 'Content-Type: image/x-any');
my @packed = ('sh', '-c', 'gzip -c <"$0" | exec "$@"', $t->path('bytes'), 'curl', '-sS', '-o', $t->path('answer'), '-w', '%{http_code} %{http_version}',
    '--data-binary', '@-', '-H', 'Content-Type: image/x-any');
my %curl = (
    whole => [qr/^204 1\.1$/, @curl, "$site/sn/log/curl?id=whole"],
    chunked => [qr/^204 1\.1$/, @curl, '-H', 'Transfer-Encoding: chunked', "$site/sn/log/curl?id=chunked"],
    gzip => [qr/^204 1\.1$/, @packed, '-H', 'Content-Encoding: gzip', "$site/sn/log/curl?id=gzip"],
    both => [qr/^204 1\.1$/, @packed, '-H', 'Content-Encoding: gzip', '-H', 'Transfer-Encoding: chunked', "$site/sn/log/curl?id=both"],
    h2 => [qr/^204 2$/, @curl, '--http2-prior-knowledge', "$h2/sn/log/curl?id=h2"],
    'h2-gzip' => [qr/^204 2$/, @packed, '--http2-prior-knowledge', '-H', 'Content-Encoding: gzip', "$h2/sn/log/curl?id=h2-gzip"],
    told => [qr/^204 1\.1$/, @curl, '-H', 'Expect: 100-continue', "$site/sn/log/curl?id=told"],
);
sends("curl: $_", @{ $curl{$_} }) for sort keys %curl;

# h2load: a body from a file, many streams of many connections.
my $line = '{"level":"info","text":"h2load"}';
$t->write_file('line', $line);
for my $row ([h2 => $h2], [h1 => '--h1', $site]) {
    my ($name, @where) = @$row;
    my $url = pop @where;
    sends("h2load, $name", qr/status codes: 300 2xx, 0 3xx, 0 4xx, 0 5xx/, 'h2load', '-n300', '-c4', '-m5', @where, '-H', 'Content-Type: application/json',
        '-d', $t->path('line'), "$url/sn/log/load?id=$name");
}

$t->drained;
my $kafka = $t->{kafka};
# A JSON payload stands in the value as it came, at its end.
my @segment = map { $_->{value} =~ /"data":(.*)\}\z/s } $kafka->read('segment');
is_deeply([sort map { md5_hex($_) } @segment], $sum{segment}, "Segment's are in Kafka, byte for byte");
is($json->decode($_)->{batch}[0]{event}, "Bought \x{20ac}", '  and are what they are') for @segment;
my @spans = map { $json->decode($_->{value}) } $kafka->read('otlp');
is_deeply([sort map { md5_hex(payload($_)) } @spans], $sum{otlp}, "OpenTelemetry's are in Kafka, byte for byte");
is($_->{'content-type'}, 'application/x-protobuf', '  with their type') for @spans;

my %read = map { my $event = $json->decode($_->{value}); ($event->{id} => $event) } $kafka->read('curl');
is(join(' ', sort keys %read), join(' ', sort keys %curl), "curl's are in Kafka, each once");
is(md5_hex(payload($read{$_})), md5_hex($bytes), "  $_: byte for byte") for sort keys %curl;
my %load;
for my $record ($kafka->read('load')) { $load{ $json->decode($record->{value})->{id} }++ if $record->{value} =~ /"data":\Q$line\E/ }
is_deeply(\%load, { h1 => 300, h2 => 300 }, "h2load's are in Kafka, byte for byte");
$t->finish;

# Protobuf may happen to be UTF-8, and is a text then.
sub payload {
    my ($event) = @_;
    return decode_base64($event->{data_base64}) if defined $event->{data_base64};
    my $text = $event->{data} // '';
    utf8::encode($text);
    return $text;
}
