#!/usr/bin/perl

# What happens to a topic of a real Kafka while its events flow: the right to write is revoked and given back, its largest
# message becomes smaller than a batch, partitions are added while the subscriber is away. Only the record that can never
# be stored is a dead letter, nothing is lost, and no topic stands still for another; at least once and exactly once.
# COUNT=n does each n times.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Sparkngin::Row qw(chosen seed);
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new(start => 0, kafka_conf => join "\n",
    'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'allow.everyone.if.no.acl.found=true');
my $kafka = $t->{kafka};
$kafka->{transactions} = 1;
$t->start->ready;
my ($sent, %dead) = (0);

for my $delivery (qw(at-least-once exactly-once)) {
    my @args = ('--create-topics', '--compression', 'none', '--delivery', $delivery);
    my $begin = sub { $t->subscribe(@args); $t->attached };
    $begin->();
    for my $n (1 .. $ENV{COUNT} // 1) {
        my ($mine, $other, $small) = map { "$_.$delivery.$n" } qw(mine other small);
        event($_, 'first') for $mine, $other, $small;
        $t->drained;

        my $more = 0;
        if (chosen('acl')) {
            $kafka->forbid($mine);
            for my $n (1 .. 100) { event($mine, $n); event($other, $n) }
            poll(30, "$other goes on", sub { datas($other) >= 101 });
            is(scalar(grep { $_ ne 'first' } datas($mine)), 0, "$delivery: nothing gets into the topic that is forbidden");
            like($t->{subscriber}->log_text, qr/topic "\Q$mine\E": .*authorization failed/, 'and the log says why');
            # 5 s later one record tries. In a transaction of its own: nobody else has to go twice for it.
            my ($again, $renewed) = map { metric($_) } qw(sent_again_events producers_renewed);
            poll(30, 'one tries', sub { event($other, ++$more); metric('producers_renewed') > $renewed });
            is(metric('sent_again_events'), $again + 1, 'nothing but the one that tries is sent again') if $delivery eq 'exactly-once';
            $kafka->permit($mine);
            $t->drained;
            is(join(' ', datas($mine)), join(' ', 'first', 1 .. 100), "$delivery: each of them once, when it is allowed again");
            is(scalar(datas($other)), 101 + $more, 'and the other topic has each once');
            is($t->books->{dead_lettered}, scalar keys %dead, 'none is a dead letter');
        }
        if (chosen('size')) {
            $kafka->set($small, 'max.message.bytes', 1000);
            # They come in one batch, which is larger than that, though each but one is not.
            $t->{subscriber}->stop;
            event($small, $_) for 1 .. 20;
            event($small, 'x' x 5000);
            $dead{"x.$delivery.$n"} = 1;
            event($small, $_) for 21 .. 40;
            $begin->();
            $t->drained;
            is(join(' ', datas($small)), join(' ', 'first', 1 .. 40), "$delivery: what fits is there, each once");
            is($t->books->{dead_lettered}, scalar keys %dead, 'the one that does not is a dead letter');
        }
        if (chosen('partitions')) {
            $t->{subscriber}->kill9;
            $kafka->widen($other, 7);
            my $before = () = datas($other);
            event($other, "w$_") for 1 .. 50;
            $begin->();
            $t->drained;
            is(scalar(datas($other)), $before + 50, "$delivery: events go on into a topic with more partitions");
        }
    }
    $t->{subscriber}->stop;
    $t->figures('14b', fault => "topics $delivery", strikes => 3 * ($ENV{COUNT} // 1), lost => 0);
}
my @letters = $kafka->read('sparkngin.dead');
is(scalar(@letters), scalar keys %dead, 'each dead letter is there once');
ok(!(grep { $_->{value} !~ /xxxxx/ } @letters), 'and is the record that was too large');
is($t->books->{committed}, $sent, 'every event was taken');
$t->finish;

sub event {
    my ($topic, $data) = @_;
    my $status = $t->get("/sn/log?topic=$topic&data=$data")->{status};
    $status == 204 ? $sent++ : die "event answered $status\n";
}

# The data of a topic's records, in the order of its numbers.
sub datas {
    my ($topic) = @_;
    my %by;
    for my $record ($kafka->read($topic)) {
        my ($data) = $record->{value} =~ /"data":"([^"]*)"/;
        $by{$data}++;
    }
    my @all = sort { $a eq 'first' ? -1 : $b eq 'first' ? 1 : ($a =~ /(\d+)/)[0] <=> ($b =~ /(\d+)/)[0] } map { ($_) x $by{$_} } keys %by;
    return @all;
}

sub metric {
    my ($name) = @_;
    my ($count) = $t->get('/metrics', port => $t->{metrics})->{body} =~ /^sparkngin_kafka_${name}_total(?:\{.*\})? (\d+)$/m;
    return $count // die "/metrics has no $name\n";
}
