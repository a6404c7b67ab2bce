#!/usr/bin/perl

# `--delivery exactly-once` on a real Kafka: who reads what is committed sees each event once, though the subscriber is
# killed (-9) at random and at each step of a transaction, stopped while another takes over, Kafka is killed and started
# again; dead letters, losses and uncertain ones are counted once, and `sparkngin audit` agrees. COUNT=n kills so often at
# random, and at each step n / 10 times.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use Sparkngin::KafkaProxy;
use Sparkngin::Row qw(chosen seed);
use Sparkngin::Spine;
use POSIX 'ceil';

my @EXACTLY = qw(--create-topics --delivery exactly-once);
my $t = Sparkngin::Spine->new(start => 0);
my $kafka = $t->{kafka};
$kafka->{transactions} = 1;
my $proxy = Sparkngin::KafkaProxy->new($t);
my $count = $ENV{COUNT} // 5;
my $strikes = 0;
my @ending;
$t->start->ready;
seed();
begin();

if (chosen('random')) {
    my $load = $t->load(rate => 2500);
    $load->wait_more(1000);
    for my $n (1 .. $count) {
        # From the first cursor read to many transactions later.
        $load->wait_more(int rand($n % 3 ? 1500 : 200));
        $load->fault('the subscriber -9', sub { $t->{subscriber}->kill9 });
        $n % 2 ? begin() : exactly();
        $strikes++;
    }
    once($load, 'random');
}

if (chosen('steps')) {
    my $load = $t->load(rate => 1500);
    $load->wait_more(1000);
    # The first Produce and EndTxn are of the program's own record, which says who has the id, before any event; the
    # second ones are of events and their cursors.
    my @steps = map { my $when = $_; map { [ $_, $when, 1 ] } qw(InitProducerId AddPartitionsToTxn Produce EndTxn) } @Sparkngin::KafkaProxy::WHEN;
    push @steps, map { my $when = $_; map { [ $_, $when, 2 ] } qw(Produce EndTxn) } @Sparkngin::KafkaProxy::WHEN;
    my $all = @steps;
    @steps = grep { "@$_" =~ /^(?:InitProducerId sent|AddPartitionsToTxn passed|Produce (?:sent|answered) 2|EndTxn \w+ 2)/ } @steps if $count < 10;
    for my $step (map { (@steps) x ceil($count / 10) } 1) {
        my ($api, $when, $n) = @$step;
        $t->{subscriber}->kill9 if $t->{subscriber}->running;
        $proxy->arm($api, $when, $n);
        exactly(through => $proxy->address);
        $proxy->victim($t->{subscriber}->pid);
        $proxy->struck;
        is($t->{subscriber}->ended, 137, "killed: $api $n $when");
        $strikes++;
    }
    note(@steps . " of $all steps");
    begin();
    once($load, 'steps');
}

if (chosen('twins')) {
    my $load = $t->load(rate => 1500);
    $load->wait_more(500);
    my $old = $t->{subscriber};
    begin();
    is($old->ended, 3, 'a second subscriber of the name ends the first with 3');
    $load->wait_more(500);
    $old = $t->{subscriber};
    $old->signal('STOP');
    begin();
    $load->wait_more(1000);
    $old->signal('CONT');
    push @ending, $old;
    $strikes += 2;
    once($load, 'twins');
}

# The thawed one says HELLO before it can hear from Kafka that it is over: the younger one goes on all the same.
if (chosen('thawed')) {
    my $old = $t->{subscriber};
    $old->signal('STOP');
    my $stopped = time;
    begin();
    pause_until($stopped + 4);    # a session dies after 3 s
    $old->signal('CONT');
    is($old->ended, 3, 'one that was stopped and says HELLO before anything else ends');
    my $load = $t->load(rate => 1500);
    $load->wait_more(1000);
    ok($t->{subscriber}->running, 'and the younger one goes on');
    $strikes++;
    once($load, 'thawed');
}
# Each asks Kafka who has the id, 5 s after it was fenced: nobody need wait for that.
for my $old (@ending) {
    is($old->ended, 3, 'one that was stopped while another took over ends, too');
    like($old->log_text, qr/took over/, 'and says why');
}

if (chosen('kafka')) {
    my $load = $t->load(rate => 1500);
    $load->wait_more(500);
    $load->fault('Kafka -9', sub { $kafka->kill9 });
    $load->wait_more(1000);
    $kafka->start->wait;
    $load->wait_more(1000);
    $strikes++;
    once($load, 'kafka');
}

# Letters are part of the transaction.
my $sent = 0;
$t->{subscriber}->kill9;
begin('--delivery', 'exactly-once');
for my $n (1 .. 20) {
    $t->get("/sn/log?topic=nowhere&data=$n")->{status} == 204 and $sent++;
    if ($n == 10) { $t->{subscriber}->kill9; begin('--delivery', 'exactly-once') }
}
$t->drained;
my %letters;
$letters{ $_->{headers}{sg} }++ for $kafka->read('sparkngin.dead');
is(scalar(keys %letters), $sent, 'each event for no topic is a dead letter');
is((grep { $_ > 1 } values %letters), 0, 'once');

$t->close_books(beside => $sent);

# What was overwritten before anybody took it, and what is damaged: told, noted and counted once, over a kill after which
# the notes are committed and the ring does not know it.
if (chosen('holes')) {
    my $process = $t->{subscriber}->pid;
    $t->{subscriber}->stop;
    $t->logged(qr/subscriber "kafka" at process $process has left/);
    $t->spine_conf(buf_size => '1m', policy => 'overwrite');
    $t->reload->ready;
    my $load = $t->load(rate => 4000);
    poll(30, 'some are overwritten', sub { $t->books->{lost} > 500 });
    killed_when_committed();
    $load->wait_more(500);
    begin();
    $load->stop;
    $t->drained;
    my $lost = $t->books->{lost};
    once($load, 'losses', lost => $lost);
    is(audited($load->{topic}, 'lost'), $lost, "the audit explains the $lost that are lost");
    my $books = $t->books;
    is($books->{in_kafka} + $lost + $books->{dead_lettered}, $books->{committed}, 'and so do the ring\'s books');

    $t->{subscriber}->stop;
    $t->spine_conf(buf_size => '2m', policy => undef);
    $t->reload->ready;
    $load = $t->load(rate => 2000);
    $load->wait_more(1500);
    $load->stop;
    damage();
    killed_when_committed();
    begin();
    $t->drained;
    my ($uncertain) = map { audited($_, 'uncertain') } $load->{topic};
    ok($uncertain > 0, "$uncertain are uncertain");
    once($load, 'damage', lost => $uncertain);
}

# A topic that would forget its cursors is refused before anything is taken.
$t->{subscriber}->stop;
$kafka->kcat('-L', '-X', 'allow.auto.create.topics=true', '-t', 'forgetful');
my $refused = exactly(args => [ @EXACTLY, '--cursors', 'forgetful' ]);
is($refused->ended, 2, 'a topic of cursors that is not compacted is refused');
like($refused->log_text, qr/--cursors forgetful: this topic has cleanup\.policy=delete, .* it must be "compact" alone/, 'with what would be right');
$t->finish;

# A subscriber that delivers exactly once, not waited for.
sub exactly {
    my (%opt) = @_;
    local $kafka->{proxied} = $opt{through};
    return $t->subscribe(@{ $opt{args} // \@EXACTLY });
}

sub begin {
    my @args = @_;
    exactly(@args ? (args => \@args) : ());
    $t->attached;
}

# All of a load is there, and nothing twice.
sub once {
    my ($load, $fault, %opt) = @_;
    my $found = $t->audit($load, name => $fault, surplus => 'none', %opt);
    $t->figures(13, fault => "exactly-once $fault", strikes => $strikes, %{ $found->{figures} // {} });
    $strikes = 0;
}

# A subscriber whose first transaction with events is committed, and who is killed before it hears of it.
sub killed_when_committed {
    $proxy->arm('EndTxn', 'answered', 2);
    exactly(through => $proxy->address);
    $proxy->victim($t->{subscriber}->pid);
    $proxy->struck;
    is($t->{subscriber}->ended, 137, 'killed: EndTxn 2 answered');
    $strikes++;
}

# The sum of a count over all streams that `sparkngin audit --exactly-once` finds, which must have nothing to complain of.
sub audited {
    my ($topic, $what) = @_;
    my ($code, $text) = $t->run($Sparkngin::PROGRAM, 'audit', '--json', '--exactly-once', '--kafka', $kafka->address, '--topic', $topic);
    is($code, 0, "the audit of $topic, exactly once") or diag($text);
    my ($json) = $text =~ /^(\{.*\})$/m or die "no report ($code): $text\n";
    my $sum = 0;
    $sum += $_->{$what} for @{ JSON::PP->new->decode($json)->{streams} };
    return $sum;
}

# Some bytes of the newest file's first block become zeros, in the middle of what is in it.
sub damage {
    my ($path) = sort { -M $a <=> -M $b } glob "$t->{dir}/ring/ring.*";
    open my $file, '+<:raw', $path or die "$path: $!\n";
    sysseek $file, (-s $path) - 2 * 1024 * 1024 + 9_000, 0;
    syswrite $file, "\0" x 500 or die "$path: $!\n";
}
