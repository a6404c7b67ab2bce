#!/usr/bin/perl
# CloudEvents 1.0 from the official SDKs for Python and JavaScript, in each HTTP mode, to a real Kafka: each is there as the
# binding for Kafka has it, and both SDKs read it there as it was sent. And what is none is refused.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64);
use Sparkngin::Spine;
use Test::More;

my $t = Sparkngin::Spine->new(location => 'sparkngin_topic ce;');
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my %sdk = (
    py => [$Sparkngin::PYTHON, "$FindBin::Bin/senders/send.py", "$Sparkngin::BUILD/senders"],
    js => ['node', "$FindBin::Bin/senders/send.js", "$Sparkngin::BUILD/senders"],
);
my %source = (py => '/python', js => '/javascript');
my %data = (json => { a => [1, "\xe9"] }, text => 'a text', bytes => { base64 => 'AP8B' }, nothing => undef);
my %want;    # id => [sdk, mode, which of the data]

for my $short (sort keys %sdk) {
    my ($code, $text) = $t->run(@{ $sdk{$short} }, 'cloudevents', 'http://127.0.0.1:' . $t->port . '/sn/log');
    is($code, 0, "$source{$short} sends") or diag $text;
    my @lines = split /\n/, $text;
    is(scalar(grep { / 204\s*$/ } @lines), $short eq 'js' ? 9 : 8, '  each is answered with 204') or diag $text;
    for my $mode ('binary', 'structured', $short eq 'js' ? 'batch' : ()) {
        $want{"$short-$mode-$_"} = [$short, $mode, $_] for keys %data;
    }
}

# Others, by hand.
my %good = ('ce-specversion' => '1.0', 'ce-id' => 'hand', 'ce-source' => '/hand', 'ce-type' => 't');
sub by_hand { my ($query, $body, %headers) = @_; return $t->post("/sn/log$query", $body, headers => [%headers]) }
is(by_hand('?key=query', '[{"topic":"none"}]', %good, 'Content-Type' => 'application/json', 'CE-PartitionKey' => 'own')->{status}, 204,
    'an array in binary mode is one event\'s data; names in capitals');
is(by_hand('/paths', "\x1F\x8B", %good, 'Content-Type' => 'application/gzip')->{status}, 204, 'to the topic of the path');
my $text = '{"specversion":"1.0","id":"one","source":"/s","type":"t", "data":{"id":1, "é":1.50},"data":null}';
is(by_hand('?topic=bytes', $text, 'content-type' => 'Application/CloudEvents+JSON; charset=utf-8', 'ce-specversion' => '9')->{status}, 204,
    'in structured mode its headers do not count');

sub refused {
    my ($what, $field, $answer) = @_;
    my $said = eval { $json->decode($answer->{body}) } // {};
    is("$answer->{status} " . ($said->{field} // '-'), "400 $field", "$what: 400");
    like($said->{error}, qr/^the CloudEvent's attribute "\Q$field\E" must /, '  and why');
}
for my $row (
    ['no id', { 'ce-id' => undef }, 'id'], ['no specversion', { 'ce-specversion' => undef }, 'specversion'],
    ['an empty source', { 'ce-source' => '' }, 'source'], ['another version', { 'ce-specversion' => '0.3' }, 'specversion'],
    ['a name with a hyphen', { 'ce-a-b' => 'x' }, 'a-b'], ['a time that is none', { 'ce-time' => 'noon' }, 'time'],
) {
    my ($what, $other, $field) = @$row;
    my %headers = (%good, %$other);
    delete $headers{$_} for grep { !defined $headers{$_} } keys %headers;
    refused($what, $field, by_hand('', 'x', %headers));
}
my $structured = 'application/cloudevents+json';
refused('a structured one without a type', 'type', by_hand('', '{"specversion":"1.0","id":"a","source":"/s"}', 'Content-Type' => $structured));
refused('a number for an id', 'id', by_hand('', '{"specversion":"1.0","id":1,"source":"/s","type":"t"}', 'Content-Type' => $structured));
is(by_hand('', '', 'Content-Type' => $structured)->{status}, 400, 'nothing at all');
is(by_hand('', '{"specversion"', 'Content-Type' => $structured)->{status}, 400, 'half of one');
is(by_hand('', '{"a"', %good, 'Content-Type' => 'application/json')->{status}, 400, 'data that is not the JSON it is said to be');
for my $row (['Sparkngin-Header-content-type' => "$structured"]) {
    my $answer = by_hand('', 'x', @$row);
    is("$answer->{status} " . ($json->decode($answer->{body})->{field} // '-'), "400 $row->[0]", 'a header must not say that something is one');
}
my $batch = '[{"specversion":"1.0","id":"kept","source":"/s","type":"t","data":1}, {"specversion":"1.0","id":"","source":"/s","type":"t"},7]';
my $answer = by_hand('', $batch, 'Content-Type' => 'application/cloudevents-batch+json');
is($answer->{status}, 207, 'a batch of which some are wrong: 207');
is_deeply([map { "$_->{index} $_->{status} $_->{field}" } @{ $json->decode($answer->{body}) }], ['1 400 id', '2 400 specversion'], '  and which');
$answer = by_hand('', '[{"id":"x"}]', 'Content-Type' => 'application/cloudevents-batch+json');
is("$answer->{status} " . $json->decode($answer->{body})->{errors}[0]{field}, '400 specversion', 'a batch of which none is right: 400');

$t->drained;
my @records = $t->{kafka}->read('ce');
is(scalar @records, keys(%want) + 2, 'each is in Kafka once');

# Both SDKs read what both have sent. (A structured one without a time the one for JavaScript cannot.)
my $lines = join '', map {
    my $record = $_;
    my %headers = map { $_ => encode_base64($record->{headers}{$_}, '') } grep { $_ ne 'sg' } keys %{ $record->{headers} };
    $json->encode({ headers => \%headers, key => $record->{key}, value => encode_base64($record->{value}, '') }) . "\n";
} grep { $want{ id_of($_) } } @records;
$t->write_file('records', $lines);
for my $short (sort keys %sdk) {
    my ($code, $read) = $t->run('sh', '-c', 'exec "$@" <' . $t->path('records'), 'sh', @{ $sdk{$short} }, 'read');
    is($code, 0, "$source{$short} reads") or diag $read;
    my %seen = map { $_->[0]{id} => $_ } map { $json->decode($_) } split /\n/, $read;
    for my $id (sort keys %want) {
        my ($by, undef, $which) = @{ $want{$id} };
        my ($attributes, $data) = @{ $seen{$id} // [{}, 'missing'] };
        is(join(' ', map { $attributes->{$_} // '-' } qw(specversion source type)), "1.0 $source{$by} com.example.test", "$id: its attributes");
        is(plain($data), plain($data{$which}), '  its data');
        is($attributes->{subject}, 'a subject', '  its subject') if $which eq 'text';
        is($attributes->{partitionkey}, 'p1', '  its partition key') if $which eq 'bytes';
        like($attributes->{comexampleextension}, $by eq 'py' ? qr/^5 \x{20ac}$/ : qr/^5$/, '  its extension') if $which eq 'json';
    }
}
# What is a text or nothing to one SDK is bytes to the other.
sub plain {
    my ($data) = @_;
    return decode_base64($data->{base64}) if ref $data eq 'HASH' && exists $data->{base64};
    return ref $data ? $json->encode($data) : $data // '';
}
sub id_of { my ($record) = @_; return $record->{headers}{ce_id} // eval { $json->decode($record->{value})->{id} } // '' }

my %by = map { id_of($_) => $_ } @records;
for my $id (sort keys %want) {
    my ($short, $mode, $which) = @{ $want{$id} };
    my $headers = $by{$id}{headers};
    my $type = $mode ne 'binary' ? qr{^application/cloudevents\+json; charset=UTF-8$}
        : { json => qr{^application/json\b}, text => qr{^text/plain$}, bytes => qr{^application/octet-stream$}, nothing => qr{^$} }->{$which};
    like($headers->{'content-type'} // '', $type, "$id: its type is a header");
    is(scalar(grep { /^ce_/ } keys %$headers) > 0, $mode eq 'binary', '  and so are its attributes in binary mode alone');
    is($by{$id}{key}, $which eq 'bytes' ? 'p1' : undef, '  its partition key is the key');
}
is_deeply([@{ $by{hand} }{qw(key value)}], ['query', '[{"topic":"none"}]'], 'the key of the query; data is nobody\'s field');
is($by{kept}{value}, '{"specversion":"1.0","id":"kept","source":"/s","type":"t","data":1}', 'the good one of the batch, byte for byte');
is(($t->{kafka}->read('bytes'))[0]{value}, $text, 'a structured one, byte for byte');
is(($t->{kafka}->read('paths'))[0]{value}, "\x1F\x8B", 'the one for the topic of the path');
$t->finish;
