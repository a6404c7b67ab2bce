#!/usr/bin/perl

# The publisher in a process of its own: it waits for nginx to make the ring, drains on while nginx is reloaded, upgraded,
# stopped and killed as a whole, is killed itself and started again, and another one takes over. The books close.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Copy 'copy';
use IO::Socket::INET;
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new(start => 0, off => 1, server => <<'CONF');
    location /acked/ { sparkngin_root_loc; sparkngin_ack kafka timeout=30s; }
    location /late/ { sparkngin_root_loc; sparkngin_ack kafka timeout=300ms; }
CONF
my ($dir, $publishers) = ($t->dir, 0);
# nginx's user may not enter the clone.
my $program = $t->path('sparkngin');
copy($Sparkngin::PROGRAM, $program) or die "copy: $!\n";
chmod 0755, $program;
my @as = $> == 0 ? qw(setpriv --reuid www-data --regid www-data --clear-groups) : ();

sub publish {
    my (@more) = @_;
    return $t->daemon(name => 'publish.' . ++$publishers, command => [ @as, $program, publish_words(), @more ]);
}
sub publish_words { return ('publish', "$dir/ring", '--live', '127.0.0.1:' . $t->port('live'), '--subscriber', 'kafka', '--log', 'text') }

# --- before there is a ring ---

my $first = publish();
$first->says(qr/waiting: there is no ring in \S+ yet, nginx makes it/);
pass('without a ring it waits and says so');
$t->start->ready;
$first->says(qr/ publishing/);
pass('and publishes as soon as nginx has made one');
is($t->epoch, 1, 'nobody else has held the lease');
like($t->get('/sn/imok')->{body}, qr/^imok\n/, 'nginx is well');
if ($> == 0) {
    my ($code, $said) = $t->run($program, publish_words());
    is($code, 2, 'whoever is not the owner of the directory is refused');
    like($said, qr/it must be run as the owner of this directory, nginx's user: setpriv --reuid \d+/, '  and told what would do');
}
$t->subscribe;
$t->attached;

# --- nginx comes and goes ---

my $load = $t->load(rate => 2000);
$load->wait_more(500);
$load->fault('a worker -9', sub { $t->kill9(($t->workers)[0]) });
$load->wait_more(500);
$load->fault('a reload', sub { $t->reload(wait => 0) });
poll(20, 'the old workers have left', sub { 2 == $t->workers });
$load->wait_more(500);
$load->fault('an upgrade', sub { $t->upgrade });
$load->wait_more(500);
is($t->epoch, 1, 'over a kill, a reload and an upgrade the publisher is the same');
is($t->{subscriber}->stop, 0, 'the subscriber leaves');
$load->wait_more(2000);
$load->fault('all of nginx -9', sub {
    $t->kill9($t->master, $t->workers);
    cmp_ok(unacknowledged(), '>', 1000, 'events wait in the ring');
    $t->subscribe;
    poll(60, 'all of them are taken', sub { unacknowledged() == 0 });
    ok(!grep({ alive($_) } $t->master), 'while nginx is dead');
    $t->start->ready;
});
$load->wait_more(1000);
$t->attached;
is($t->epoch, 1, 'nginx came back to the same publisher');

# How many events of the ring the subscriber has not acknowledged, without asking nginx.
sub unacknowledged {
    my ($code, $dump) = $t->run($Sparkngin::PROGRAM, 'ring', 'dump', '--unacked', 'kafka', "$dir/ring");
    die "ring dump: $dump\n" if $code;
    return scalar(() = $dump =~ /^\{/mg);
}

# --- publishers come and go ---

# Waits until this process publishes, for so many times. The epoch does not tell: when one is killed in a sync another file may
# take the events, and its epochs begin anew.
sub led {
    my ($daemon, $times) = @_;
    return poll(20, "$daemon->{name} publishes", sub { ($times // 1) <= (() = $daemon->log_text =~ / publishing /g) });
}

is($t->get('/acked/log?topic=acked&data=one')->{status}, 204, 'sparkngin_ack kafka is answered through it');
$t->{totals}{taken}++;
$load->fault('publish -9', sub { $t->kill9($first->pid) });
$load->wait_more(500);
my $second = publish();
led($second);
$load->wait_more(500);
my $third = publish();
$second->says(qr/another one publishes by a newer configuration: standing by/);
led($third);
pass('the one that was started last takes over');
$load->wait_more(500);
$load->fault('the newest -9', sub { $t->kill9($third->pid) });
led($second, 2);
ok($second->running, 'the one that stood by goes on');
$load->wait_more(1000);
my $feed = sub { -S "$dir/ring/feed.sock" };
ok($feed->(), 'the feed is there');
is($second->stop, 0, 'TERM ends it');
ok(!$feed->(), 'and its socket is gone');
is($t->get('/late/log?topic=acked&data=two')->{status}, 504, 'without any publisher sparkngin_ack kafka is answered late');
$t->{totals}{taken}++;
$load->wait_more(500);
my $fourth = publish();
led($fourth);
$load->wait_more(500);
$load->stop;
$t->audit($load);
cmp_ok($t->epoch, '<=', 5, 'nginx has never held the lease');

# COUNT kills of the publisher, each followed by another one.
$t->row(11, 'publish', 2, sub {
    my ($again, $n) = @_;
    $again->fault("publish -9 $n", sub { $t->kill9($fourth->pid) });
    $fourth = publish();
    led($fourth);
    $again->wait_more(500);
});
$t->close_books;

# --- other keys, by HUP ---

{
    is($t->{subscriber}->stop, 0, 'the subscriber leaves');
    for my $name (qw(server old new)) {
        my ($code, $said) = $t->run($Sparkngin::PROGRAM, 'keygen', "$dir/$name");
        is($code, 0, "keygen $name") or diag($said);
    }
    my @owner = (stat "$dir/ring")[ 4, 5 ];
    chown @owner, "$dir/server.key";
    my $guest = sub { $t->write_file('guest.pub', $_[0]) };
    $guest->($t->read_file('old.pub'));
    my $locked = $t->daemon(name => 'publish.locked', command => [
        @as, $program, 'publish', "$dir/ring", '--live', '127.0.0.1:' . $t->port('live'), '--log', 'text',
        '--curve-key', "$dir/server.key", '--subscriber', "kafka=$dir/guest.pub" ]);
    led($locked);
    my $new = $t->daemon(name => 'subscriber.new', command => [
        $Sparkngin::PROGRAM, 'subscribe', '--feed', $t->feed, '--lines', "$dir/lines", '--log', 'text',
        '--http', '127.0.0.1:' . $t->port('new'), '--server-key', "$dir/server.pub", '--curve-key', "$dir/new.key" ]);
    $new->says(qr/the publisher does not know our key/);
    my $ready = sub { $t->get('/readyz', port => $t->port('new'))->{status} == 200 };
    ok(!$ready->(), 'a key that it was not started with is not let in');
    $guest->($t->read_file('new.pub'));
    $locked->signal('HUP');
    $locked->says(qr/HUP: the key files are read again/);
    ok(poll(20, 'it is let in', $ready), 'but after HUP, when the file has it');
    led($locked, 2);
    $guest->("no key\n");
    $locked->signal('HUP');
    $locked->says(qr/HUP: --subscriber "kafka=\S+\/guest\.pub": .* holds no key.*; what was read before is used on/);
    is($t->get('/acked/log?topic=acked&data=three')->{status}, 204, 'a file that is no key changes nothing');
    is($locked->stop, 0, 'TERM ends it');
    is($new->stop, 0, 'and the subscriber');
}

{
    # Who listens in nginx's place has other words for where, and another log.
    my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $t->port('taken'), Listen => 1, ReuseAddr => 1) or die "listen: $!";
    my $deaf = $t->daemon(name => 'publish.deaf', command => [@as, $program, map { s/:\K\d+$/$t->port('taken')/er } publish_words()]);
    poll(20, '/imok says it', sub { $t->get('/sn/imok')->{body} =~ /^not live: the address of live of "sparkngin publish" cannot be listened at for \d+ s, its log says why$/m });
    my $wrong = join ' ', $t->status->{wrong}->@*;
    like($wrong, qr/Nobody can read live: its address cannot be listened at for .+?, the log of `sparkngin publish` says why\./, '/status, too');
    $deaf->stop;
}
$t->finish;
