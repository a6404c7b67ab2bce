#!/usr/bin/perl

# The examples do what they say: send.sh sends until an event was taken, live_reader.py shows events as they come,
# durable_subscriber.py and .c miss none over their own kill -9, beside the subscriber that feeds Kafka; live_reader.c shows events as
# they come, and event.h prints what the golden vectors say.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new(http => <<'CONF');
    sparkngin_subscriber python;
    sparkngin_subscriber c;
    sparkngin_format json;
    sparkngin_gzip on;
CONF
my $json = JSON::PP->new->utf8;
my $url = 'http://127.0.0.1:' . $t->port . '/sn';
my %sent;    # id -> payload
my ($live_c, $durable_c, $print_c) = map { compiled($_) } qw(examples/live_reader.c examples/durable_subscriber.c t/lib/print_event.c);

# --- send.sh ---

my ($code, $text) = send_sh('clicks', "caf\xc3\xa9 & 100% \"quoted\"\n");
is($code, 0, 'send.sh: an event was taken') or diag($text);
($code, $text) = send_sh('__no', 'x');
isnt($code, 0, 'a topic that cannot be is an error');
like($text, qr/topic/, 'and says so');

$t->stop;
my $waiting = $t->daemon(name => 'send', command => [ send_command('clicks', 'sent while nginx was away') ]);
$t->start->ready;
my ($id) = $waiting->says(qr/^([0-9a-f-]{36})$/m, 30);
is($waiting->ended, 0, 'send.sh sends again until nginx is there');
$sent{$id} = 'sent while nginx was away';

# --- live_reader.py ---

my $live = python('live_reader.py', 'tcp://127.0.0.1:' . $t->port('live'), 'show');
$t->get('/sn/log?topic=hidden&data=other');
is($t->get("/sn/log?topic=shown&id=s1&data=hello")->{status}, 204, 'an event for the live reader');
$sent{s1} = 'hello';
my ($line) = $live->says(qr/^(shown .*)$/m, 20);
like($line, qr/^shown \{.*"topic":"shown".*\}$/, 'live_reader.py prints topic and event');
unlike($live->log_text, qr/hidden/, 'and only the topics it was asked for');
$live->stop;

my $packed = $t->daemon(name => 'live_reader.c', command => [ $live_c, 'tcp://127.0.0.1:' . $t->port('live'), 'shown' ]);
my $shown = 1;
poll(60, 'live_reader.c has an event', sub {
    my $id = 's' . ++$shown;
    $sent{$id} = 'hello' if $t->get("/sn/log?topic=shown&id=$id&data=hello")->{status} == 204;
    return !$packed->running;
});
is($packed->ended, 1, 'live_reader.c ends where events are compressed');
like($packed->log_text, qr/sparkngin_gzip is on/, 'and says why');

# --- durable_subscriber.py and durable_subscriber.c ---

my %durable = (
    python => python('durable_subscriber.py', $t->feed, 'python'),
    c => $t->daemon(name => 'durable_subscriber.c', command => [ $durable_c, $t->feed, 'c' ]),
);
acknowledged();
my $load = $t->load(rate => 2000);
$load->wait_more(1000);
for (1 .. 3) {
    $load->fault('durable subscribers -9', sub { $_->kill9 for values %durable });
    $load->wait_more(500);
    $_->start for values %durable;
    $load->wait_more(1000);
}
$load->stop;
$t->audit($load, name => 'Kafka beside it');
acknowledged();
for my $name (sort keys %durable) {
    my (%ids, %sgs);
    for my $text (split /(?=\{"ip": ?)|\n/, $durable{$name}->log_text) {    # a line that was cut off has the next one behind it
        my ($id) = $text =~ /"id": ?"([^"]+)"/ or next;
        my ($sg) = $text =~ /"sg": ?"([^"]+)"/ or next;    # and it comes again
        $ids{$id}{$sg}++;
        $sgs{$sg}++;
    }
    my @missing = grep { $_->{status} == 204 && !$ids{ $_->{id} } } $load->events;
    is(scalar @missing, 0, "durable subscriber, $name: every event was printed, over three times kill -9");
    is(scalar(grep { keys %{ $ids{$_} } > 1 } keys %ids), 0, 'what was printed twice has the same sg');
    is($t->books($name)->{lost}, 0, 'none was lost');
    is_deeply([ grep { !$ids{$_} } keys %sent ], [], 'what send.sh sent is there, too');
    $durable{$name}->stop;
}

# --- and all of it in Kafka ---

my %value = map { my $value = $json->decode($_->{value}); ($value->{id} => $value->{data}) } map { $t->{kafka}->read($_) } qw(clicks shown);
is_deeply(\%value, \%sent, 'in Kafka under the ids that send.sh printed');
$t->{totals}{taken} += 1 + keys %sent;
$t->close_books;
$t->finish(done => 0);

# --- live_reader.c, where nothing is compressed; and what it takes an event for ---

my $plain = Sparkngin->new;
$plain->conf(http => 'sparkngin_listen 127.0.0.1:%%PORT_live%%; sparkngin_buf_path %%DIR%%/ring; sparkngin_format json;', location => 'sparkngin_root_loc;');
$plain->start->ready;
my $reader = $plain->daemon(name => 'live_reader.c', command => [ $live_c, 'tcp://127.0.0.1:' . $plain->port('live'), 'sh', 'a' ]);
is($plain->get("/sn/log?topic=$_&data=hello")->{status}, 204, "an event for $_") for qw(hidden shown);
($line) = $reader->says(qr/^(shown .*)$/m, 20);
like($line, qr/^shown \{.*"topic":"shown".*\}$/, 'live_reader.c prints topic and event');
unlike($reader->log_text, qr/hidden/, 'and only the topics it was asked for');
for my $golden (@{ $json->decode(slurp("$Sparkngin::ROOT/src/core/tests/golden/formats.json")) }) {
    my $expected = pack 'H*', $golden->{written}{'json all'};
    $expected =~ tr/\r\n/  /;
    $expected =~ s/(.)\}$/$1 eq '{' ? '{"sg":"r-0-1"}' : qq($1,"sg":"r-0-1"})/e;
    is_deeply([ $plain->run($print_c, $golden->{written}{'binary all'}) ], [ 0, "$expected\n" ], "event.h: $golden->{name}");
}
$plain->finish;

# Both have acknowledged all.
sub acknowledged {
    for my $name (sort keys %durable) {
        poll(60, "$name has acknowledged all", sub { $t->books($name)->{in_ring} == 0 });
    }
}

sub compiled {
    my ($source) = @_;
    my ($name) = $source =~ m{(\w+)\.c$};
    my ($code, $said) = $t->run('cc', '-O2', '-Wall', '-Wextra', '-Werror', '-o', $t->path($name), "$Sparkngin::ROOT/$source", '-lzmq');
    die "$source: $said\n" if $code;
    return $t->path($name);
}

sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!\n";
    local $/;
    return <$in>;
}

sub send_command { return ('/bin/sh', '-c', 'printf %s "$0" | exec "$@"', $_[1], "$Sparkngin::ROOT/examples/send.sh", $url, $_[0]) }

sub send_sh {
    my ($topic, $payload) = @_;
    my ($code, $text) = $t->run(send_command($topic, $payload));
    utf8::decode($payload);
    $sent{$1} = $payload if !$code && $text =~ /^([0-9a-f-]{36})$/m;
    return ($code, $text);
}

sub python {
    my ($example, @words) = @_;
    return $t->daemon(name => $example, env => { PYTHONDONTWRITEBYTECODE => 1 },
        command => [ $Sparkngin::PYTHON, '-u', "$Sparkngin::ROOT/examples/$example", @words ]);
}
