#!/usr/bin/perl
# `sparkngin ganglia`: a real gmond shows in its XML what nginx and the subscriber say of themselves.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use Sparkngin::Spine;
use Test::More;

my ($gmond) = grep { -x } '/usr/sbin/gmond';
die "no gmond: run `make deps` first\n" if !$gmond;

my $t = Sparkngin::Spine->new(kafka => 0, start => 0);
my ($sn, $own) = $t->watched('a');

# --- a gmond of this test's own ---

my ($in, $out) = map { $t->port($_) } qw(gmond_in gmond_out);
my $conf = $t->write_file('gmond.conf', <<"CONF", 0644);
globals {
  daemonize = no
  setuid = no
  debug_level = 0
  mute = no
  deaf = no
  allow_extra_data = yes
  cleanup_threshold = 300
  gexec = no
  send_metadata_interval = 0
}
cluster { name = "test" }
udp_recv_channel {
  port = $in
  bind = 127.0.0.1
}
tcp_accept_channel {
  port = $out
  bind = 127.0.0.1
}
CONF
my $daemon = $t->daemon(name => 'gmond', foreign => 1, command => [$gmond, '-f', '-c', $conf]);

# What it has, as it tells a gmetad: host => { name => { VAL => ..., UNITS => ..., ... } }.
sub seen {
    die 'gmond ended: ' . $daemon->log_text if !$daemon->running;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $out, Timeout => 10) or return {};
    my $xml = do { local $/; <$socket> } // '';
    my %hosts;
    for my $host ($xml =~ /(<HOST .*?<\/HOST>)/gs) {
        my ($name) = $host =~ /NAME="([^"]*)"/;
        while ($host =~ /<METRIC (.*?)>(.*?)<\/METRIC>/gs) {
            my ($row, $more) = ($1, $2);
            my %metric = $row =~ /(\w+)="([^"]*)"/g;
            $metric{$1} = $2 while $more =~ /<EXTRA_ELEMENT NAME="(\w+)" VAL="([^"]*)"/g;
            $hosts{$name}{ $metric{NAME} } = \%metric;
        }
    }
    return \%hosts;
}

# Sends, and waits until gmond has a metric of this host with such a value. A packet may get lost: then another is sent.
sub sent {
    my ($host, $name, $value, @more) = @_;
    return poll(60, "gmond has $name of $host", sub {
        my ($code, $text) = $t->run($Sparkngin::PROGRAM, 'ganglia', '--once', '--gmond', "127.0.0.1:$in", '--url', $sn, @more);
        die "ganglia ended with $code: $text" if $code;
        for (1 .. 20) {
            my $seen = seen();
            my ($known) = $host ? $seen->{$host} : values %$seen;
            return $known if $known && $known->{$name} && $known->{$name}{VAL} =~ $value;
        }
        return;
    });
}

poll(30, 'gmond answers', sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $out) });
is($t->post('/sn/log?topic=a', 'x')->{status}, 204, 'an event');
$t->drained;
poll(60, 'a tick is known', sub { defined $t->status->{recent}{taken_per_second} });
my %expected = (
    up => [1, ''], wrong => [0, ''], publisher_up => [1, ''], ring_used_percent => [undef, '%'], events_per_second => [undef, 'events/s'],
    refused_events => [0, 'events'], lost_events => [0, 'events'], subscriber_kafka_up => [1, ''], subscriber_kafka_lag_events => [0, 'events'],
    subscriber_kafka_lag_seconds => [0, 's'], ready => [1, ''], open_events => [0, 'events'], dead_letters => [0, 'events'],
);
poll(60, 'nothing is wrong', sub { !@{ $t->status->{wrong} } });
# Packets of one sending come one by one, and gmond answers meanwhile.
my $seen = poll(60, 'gmond has all of it', sub {
    my $it = sent('', 'sparkngin_ready', qr/^1$/, '--subscriber', $own);
    return !(grep { !defined($it->{"sparkngin_$_"}) || !defined($it->{"sparkngin_$_"}{GROUP}) } keys %expected) && $it;
});
my @names = sort keys %$seen;
is_deeply([grep { !/^sparkngin_[a-z0-9_]+$/ } @names], [], 'gmond shows these alone: ' . join ' ', map { s/^sparkngin_//r } @names);
for my $name (sort keys %expected) {
    my ($value, $units) = @{ $expected{$name} };
    my $metric = $seen->{"sparkngin_$name"} // {};
    like($metric->{VAL} // 'missing', defined $value ? qr/^$value$/ : qr/^[\d.]+$/, "$name has a value");
    is_deeply([@$metric{qw(TYPE UNITS SLOPE TMAX DMAX GROUP)}], ['double', $units, 'both', 30, 600, 'sparkngin'], '  and is what it should be');
}

# --- on and on, as another host's, and what is away ---

my $agent = $t->daemon(name => 'ganglia', command => [
    $Sparkngin::PROGRAM, 'ganglia', '--gmond', "127.0.0.1:$in", '--url', $sn, '--interval', '1s', '--spoof', '192.0.2.1:web1', '--log', 'text',
]);
poll(60, 'gmond knows another host', sub { my $web = seen()->{web1}; $web && ($web->{sparkngin_up}{VAL} // '') eq '1' });
$t->{subscriber}->stop;
poll(60, 'the subscriber is away', sub { (seen()->{web1}{sparkngin_subscriber_kafka_up}{VAL} // '') eq '0' });
pass('a host by another name is told of as it changes');
$t->stop;
poll(60, 'nginx is away', sub { (seen()->{web1}{sparkngin_up}{VAL} // '') eq '0' });
ok($agent->says(qr/does not answer: /), 'and so is nginx, which is said in the log, too');
is($agent->stop, 0, 'asked to end, it ends with 0');
my ($code, $text) = $t->run($Sparkngin::PROGRAM, 'ganglia', '--once', '--gmond', 'here');
like("$code $text", qr/^2 sparkngin: --gmond "here": it must be host:port\n\z/, 'a word that cannot be');
$t->finish;
