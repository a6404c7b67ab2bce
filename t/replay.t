#!/usr/bin/perl

# 10,000 events of real-world content, over 32 connections into two workers, are in Kafka exactly once, every field
# equal. LINES=file replays the lines of a file as well; SEED=n repeats a corpus.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use Sparkngin::Corpus;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new(http => <<'CONF');
    sparkngin_fields %version% %ip% %time_stamp% %level% %topic% %user-agent% %referrer% %cookie%;
    large_client_header_buffers 4 16k;
CONF
my $seed = $ENV{SEED} // time;
note("SEED=$seed");

replay('a corpus of our own', Sparkngin::Corpus::corpus($seed, 10_000));
if (my $file = $ENV{LINES}) {
    open my $in, '<:raw', $file or die "$file: $!\n";
    my $n = 0;
    replay($file, map { chomp; Sparkngin::Corpus::of_line(++$n, $_) } <$in>);
}
$t->drained->close_books;
$t->finish;

sub replay {
    my ($name, @events) = @_;
    my $began = time;
    $t->write_file('requests', Sparkngin::Corpus::requests(@events));
    my $load = $t->load(requests => "$t->{dir}/requests", rate => 4000, connections => 32, prefix => '');
    $load->complete(300);
    my %status = map { $_->{id} => $_->{status} } $load->events;
    my @refused = grep { ($status{ $_->{id} } // 'nothing') ne '204' } @events;
    is(scalar @refused, 0, "$name: each of " . @events . ' is answered 204')
        or diag(map { "$_->{id}: $status{$_->{id}}\n$_->{request}\n" } @refused[ 0 .. ($#refused > 2 ? 2 : $#refused) ]);
    $t->drained;

    my $json = JSON::PP->new->utf8;
    my %expected = map { $_->{id} => $_ } @events;
    my (%times, @wrong);
    my %topics = map { $_->{topic} => 1 } @events;
    for my $topic (sort keys %topics) {
        for my $record ($t->{kafka}->read($topic)) {
            my $value = eval { $json->decode($record->{value}) };
            my $event = $value && $expected{ $value->{id} // '' };
            if (!$event) { push @wrong, "no JSON of ours: $record->{value}" if !$value; next }
            $times{ $event->{id} }++;
            my @faults = differences($event, $value, $topic, $record, $began);
            push @wrong, "$event->{id}: @faults" if @faults;
        }
    }
    my @missing = grep { !$times{ $_->{id} } } @events;
    my @twice = grep { ($times{$_} // 0) > 1 } keys %times;
    is(scalar @missing, 0, "$name: each is in Kafka");
    is(scalar @twice, 0, "$name: none is there twice");
    is(scalar @wrong, 0, "$name: every field is equal") or diag(map { encode_ascii($_) . "\n" } @wrong[ 0 .. ($#wrong > 4 ? 4 : $#wrong) ]);
    $t->{totals}{taken} += grep { $_ == 204 } values %status;
}

sub differences {
    my ($event, $value, $topic, $record, $began) = @_;
    my @faults;
    my $stamp = delete $value->{time_stamp};
    push @faults, "time_stamp $stamp" if !defined $stamp || $stamp < $began * 1000 - 1000 || $stamp > time * 1000 + 1000;
    push @faults, "Kafka's time $record->{timestamp}, not $stamp" if defined $stamp && $record->{timestamp} != $stamp;
    push @faults, "in topic $topic" if $topic ne $event->{topic};
    push @faults, 'no sg' if ($record->{headers}{sg} // '') !~ /^[0-9a-f]{32}-\d+-\d+$/;
    my %all = (%{ $event->{value} }, %$value);
    for my $name (sort keys %all) {
        my ($want, $got) = ($event->{value}{$name}, $value->{$name});
        next if defined $want && defined $got && $want eq $got;
        push @faults, sprintf '%s is %s, not %s;', $name, map { defined ? "<$_>" : 'absent' } $got, $want;
    }
    return @faults;
}

sub encode_ascii {
    my ($text) = @_;
    $text =~ s/([^\x20-\x7e])/sprintf '\\x{%x}', ord $1/ge;
    return substr $text, 0, 1000;
}
