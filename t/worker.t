#!/usr/bin/perl
# The life of a worker: what it opens and when, who publishes, and that it lets go at once. Nothing of this happens in the
# master, in nginx -t, or in the cache's processes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Fcntl 'O_RDWR';
use IO::Socket::INET;
use Sparkngin;
use Sparkngin::Tap;
use Test::More;
use Time::HiRes 'time';

my $t = Sparkngin->new(program => 0);
my %conf = (
    http => Sparkngin::Tap::conf() . ' proxy_cache_path %%DIR%%/cache keys_zone=c:1m; sparkngin_receipt on;',
    server => 'location /slow/ { limit_rate 1; alias %%DIR%%/; }',
    location => 'sparkngin_root_loc;',
);
$t->conf(%conf);
$t->write_file('long', 'x' x 1000, 0644);

sub threads { return map { my $name = $t->read_file($_); chomp $name; $name } glob "/proc/$_[0]/task/*/comm" }
sub holds { my ($pid) = @_; return grep { m{/ring/} } map { readlink $_ // '' } glob "/proc/$pid/fd/*" }
sub epoch { return $t->status->{publisher}{epoch} }
sub present { return $t->status->{publisher}{present} }

# nginx -t
is(($t->check)[0], 0, 'nginx -t');
is(join(',', glob $t->path('ring/*')), '', 'made nothing in the directory');

# A start.
$t->start->ready;
my $master = $t->master;

my @workers = poll(5, 'two workers run', sub { my @pids = $t->workers; @pids == 2 && \@pids })->@*;
is(join(' ', threads($master)), 'nginx', 'the master has no thread');
is(join(' ', holds($master)), '', 'and nothing of the ring');
my ($manager) = grep { Sparkngin::title($_) =~ /cache manager/ } children($master);
ok($manager, 'there is a cache manager');
is(join(' ', holds($manager)), '', 'that has nothing of the ring');
poll(5, 'there is a publisher', sub { present() && epoch() });
is(epoch(), 1, 'one worker took the lease, once');
is(scalar(grep { holds($_) } @workers), 2, 'both have the ring');
is(scalar(grep { grep { $_ eq 'sparkngin' } threads($_) } @workers), 1, 'one has the publisher\'s threads');
is(scalar(grep { my $worker = $_; grep { /^sparkngin-open/ } threads($worker) } @workers), 0, 'the thread that opened the ring is gone');
{
    my $blocked = qr/^SigBlk:\t(\w+)$/m;
    my ($worker) = grep { threads($_) > 1 } @workers;
    my @deaf = grep { $t->read_file("$_/status") =~ $blocked && hex(substr $1, -8) & 0x4000 } glob "/proc/$worker/task/*";
    is(scalar @deaf, threads($worker) - 1, 'every thread but nginx\'s own blocks signals');
}

# Reloads.
for my $round (1 .. 5) {
    my $before = epoch();
    $t->reload;
    poll(5, 'the new configuration publishes', sub { epoch() > $before && present() });
    # Once, but on a machine without time: there each of the two new ones that ask often may have it.
    cmp_ok(epoch(), '<=', $before + 2, "reload $round: the lease did not go to and fro");
}
{
    my @receipts = map { $t->get('/sn/log?topic=a')->{headers}{'sparkngin-receipt'} =~ s/^\w+-(\d+)-.*/$1/r } 1 .. 10;
    is(scalar(grep { $_ > 5 } @receipts), 0, 'reloads do not cost slots');
}

# A reload with a request that goes on: its worker stays, and lets the lease go at once.
{
    my $publisher = $t->publisher_worker;
    my @old = $t->workers;
    my %socket;
    for (1 .. 20) {    # until the publisher's worker has one
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die;
        print $socket "GET /slow/long HTTP/1.1\r\nHost: a\r\n\r\n";
        sysread $socket, my $head, 10;
        $socket{$socket} = $socket;
    }
    my $before = epoch();
    $t->reload(wait => 0);
    poll(5, 'somebody else publishes', sub { epoch() > $before && present() && ($t->publisher_worker // 0) != $publisher });
    ok(alive($publisher), 'the lease is with a new worker, while the old one still serves its request');
    my $stays = time + 1.2;
    pause_until($stays);
    isnt($t->publisher_worker, $publisher, 'and does not take it back');
    close $_ for values %socket;
    poll(10, 'the old ones leave', sub { !grep { alive($_) } @old });
}

# A worker that is killed.
{
    my $publisher = $t->publisher_worker;
    my $before = epoch();
    $t->kill9($publisher);
    poll(5, 'another one publishes', sub { ($t->publisher_worker // $publisher) != $publisher });
    poll(5, 'the master has started another', sub { $t->workers == 2 });
    is($t->get('/sn/log?topic=a')->{status}, 204, 'killed, and events are taken');
}

# The lease of a newer configuration: a second nginx beside the first, on the same directory.
{
    my $second = Sparkngin->new(program => 0);
    my $dir = $t->dir;
    $second->conf(
        http => "sparkngin_listen %%PORT_live%%; sparkngin_buf_path $dir/ring;",
        location => 'sparkngin_root_loc;',
    );
    my $before = epoch();
    $second->start->ready;
    poll(5, 'the newer one publishes', sub { $second->publisher_worker($second->port('live')) });
    ok(epoch() > $before, 'who is configured later publishes, though the first goes on');
    is($t->get('/sn/log?topic=a')->{status}, 204, 'both take events');
    is($second->get('/sn/log?topic=a')->{status}, 204, 'into one ring');
    my ($own, $other) = ("$dir/nginx", $second->dir . '/nginx');
    my $uses = sub { my ($name) = @_; qr/\[warn\].* another nginx uses this ring's directory, "\Q$name\E\.conf" \(pid file "\Q$name\E\.pid"\): each replaces/ };
    $t->logged($uses->($other));
    $second->logged($uses->($own));
    is(scalar(() = $t->error_log =~ /another nginx/g), 1, 'each says of the other that it is there, once');
    like($_->get('/sn/imok')->{body}, qr/^imok\n(?:.*\n)*shared: another nginx uses the ring's directory, error.log names it$/m, 'so does /imok') for $t, $second;
    is(scalar(grep { /^Another nginx uses the ring's directory/ } $t->status->{wrong}->@*), 1, 'and /status');
    pause_until(time + 1.5);
    ok($second->publisher_worker($second->port('live')), 'and it stays so');
    $second->stop;
    poll(5, 'the first publishes again', sub { $t->publisher_worker });
    $t->logged(qr/\[notice\].* the other nginx uses this ring's directory no longer, "\Q$other\E\.conf"/);
    unlike($t->get('/sn/imok')->{body}, qr/another nginx/, '/imok speaks of it no longer');
    $t->{expected} = qr/another nginx uses this ring's directory/;
    ok(1, 'until it leaves');
    $second->{finished} = 1;
}

# An end.
{
    my @workers = $t->workers;
    # Sooner than worker_shutdown_timeout would make them.
    $t->stop('QUIT', 8);
    is(scalar(grep { alive($_) } @workers), 0, 'a graceful end leaves nobody');
    my @socket = grep { -S } glob $t->path('ring/*');
    note("sockets left: @socket");

    # Who comes while the last one before still brings the file to the disk waits for it, and refuses nobody.
    my ($ring) = glob $t->path('ring/ring.*');
    sysopen my $alone, $ring, O_RDWR or die "$ring: $!";
    my $first = pack('s s x4 q q l x4', 1, 0, 0, 1, 0);
    fcntl $alone, 37, $first or die "F_OFD_SETLK: $!";
    # (`start` would wait for its workers, which wait for the ring.)
    is(($t->run($t->nginx_command))[0], 0, 'a start meanwhile');
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die;
    print $socket "GET /sn/log?topic=a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    pause_until(time + 0.6);    # longer than a ring that has to be made is waited for
    close $alone;
    my $answer = do { local $/; <$socket> };
    like($answer, qr{^HTTP/1.1 204 }, "an event of that time is taken");
    $t->adopt($t->read_file('nginx.pid') =~ s/\s//r);
    $t->ready;
    my $keep = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die;
    $t->stop('TERM', 8);
}

# Without a master, and with none of our locations.
{
    $t->conf(%conf, main => 'master_process off;');
    my $single = $t->daemon(name => 'single', command => [$t->nginx_command('-g', 'daemon off;')]);
    poll(10, 'it answers', sub { $t->get('/sn/imok')->{status} == 200 });
    is($t->get('/sn/log?topic=a')->{status}, 204, 'a single process takes events');
    poll(5, 'it publishes', \&present);
    is($single->stop('QUIT'), 0, 'and ends well');
    $t->conf(http => 'sparkngin_buf_path %%DIR%%/none; sparkngin_listen %%PORT_live%%;', server => 'return 204;');
    $t->start;
    is($t->get('/')->{status}, 204, 'an nginx with the module and none of its locations');
    ok(!-e $t->path('none'), 'makes no directory');
    is(scalar(grep { threads($_) > 1 } $t->workers), 0, 'and no threads');
    ok(!IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port('live')), 'and does not listen');
}

$t->finish;
