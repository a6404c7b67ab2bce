#!/usr/bin/perl

# The level `disk`, and who syncs: answered after a sync that began after the commit; many by one sync; late when the disk
# hangs, and when the worker that syncs is killed in it; nothing is synced while nothing is committed; on tmpfs it is
# refused, and where the disk refuses every sync, which costs one file; after a sync that nobody saw end, a new one. fdatasync is ours here, preloaded, so it hangs when it is told to.

use strict;
use warnings;
use File::Temp;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Sparkngin;
use Test::More;

my $t = Sparkngin->new(program => 0);
my $library = $t->path('fdatasync.so');
my ($code, $said) = $t->run('cc', '-shared', '-fPIC', '-O2', '-o', $library, "$FindBin::Bin/lib/fdatasync.c");
is($code, 0, 'our fdatasync is built') or diag($said);
my %env = (env => { LD_PRELOAD => $library, FDATASYNC => $t->path('fdatasync') });
$t->write_file("fdatasync.$_", '', 0666) for qw(count failed hung);
my %conf = (
    http => 'sparkngin_listen %%PORT_live%%; sparkngin_receipt on;',
    server => <<'CONF',
        location /disk/ { sparkngin_root_loc; sparkngin_ack disk timeout=20s; }
        location /short/ { sparkngin_root_loc; sparkngin_ack disk timeout=300ms; }
CONF
    location => 'sparkngin_root_loc;',
);
sub conf { my ($path, $more, @opt) = @_; $t->conf(%conf, http => "$conf{http} sparkngin_buf_path $path; " . ($more // ''), @opt) }
sub syncs { return -s $t->path('fdatasync.count') }
sub threads { return map { my $name = $t->read_file($_); chomp $name; $name } glob "/proc/$_[0]/task/*/comm" }
sub syncer { my ($worker) = grep { grep { $_ eq 'sparkngin-sync' } threads($_) } $t->workers; return $worker }
sub ack { return $_[0]{headers}{'sparkngin-receipt'} =~ /; ack=(\w+)$/ ? $1 : 'none' }
sub why { return eval { JSON::PP->new->decode($_[0]{body})->{error} } // '' }

# From now on each sync hangs, or none; answers the question whether one does that began since.
sub hang {
    my ($on) = @_;
    return unlink $t->path('fdatasync.hang') if !$on;
    my $before = -s $t->path('fdatasync.hung') // 0;
    $t->write_file('fdatasync.hang', '');
    return sub { -s $t->path('fdatasync.hung') > $before };
}

conf('%%DIR%%/ring');
unlike(($t->check)[1], qr/tmpfs/, 'on a disk nginx -t says nothing of tmpfs');
$t->start(%env)->ready;
poll(10, 'somebody syncs, and somebody else publishes', sub {
    my ($syncs, $publishes) = (syncer(), $t->publisher_worker);
    return $syncs && $publishes && $syncs != $publishes;
});
pass('one worker publishes, another one syncs');

for my $row (['/disk/', []], ['/sn/', ['Sparkngin-Ack', 'disk']]) {
    my ($path, $headers) = @$row;
    for my $method (qw(GET POST)) {
        my $before = syncs();
        my $answer = $t->request($method, "${path}log?topic=a", headers => $headers, $method eq 'POST' ? (body => 'b') : ());
        is("$answer->{status} " . ack($answer), '204 disk', "$method $path @$headers: 204 at the level disk");
        cmp_ok(syncs(), '>', $before, 'after a sync');
    }
}
{
    my $before = syncs();
    is($t->get('/sn/log?topic=a')->{status}, 204, 'the level ring');
    poll(10, 'is synced soon after', sub { syncs() > $before });
    my $quiet = syncs();
    my $until = time + 1;
    pause_until($until);
    is(syncs(), $quiet, 'while nothing is committed, nothing is synced');
}

# Many wait for one sync.
{
    hang(1);
    my @waiting = map ask("/disk/log?topic=a&data=$_"), 1 .. 50;
    poll(10, 'all are stored', sub { $t->status->{ring}{committed} >= 55 });
    is(scalar(grep readable($_), @waiting), 0, 'while the disk hangs nobody is answered');
    my $late = $t->get('/short/log?topic=a');
    is("$late->{status} " . ack($late), '504 ring', 'the disk hangs: 504 in time, with the receipt of an event in the ring');
    is(why($late), 'the event is not on the disk in time; it is kept and will arrive, do not send it again', 'that says what becomes of it');
    my $before = syncs();
    hang(0);
    is(join(' ', map { my $it = answer_of($_); "$it->{status} " . ack($it) } @waiting), join(' ', ('204 disk') x 50), 'it does not any more: all are answered');
    cmp_ok(syncs() - $before, '<', 10, 'by a few syncs');
}

# The worker that syncs is killed while it does, and others wait for it.
{
    my $hung = hang(1);
    my $victim = poll(10, 'somebody syncs', \&syncer);
    my @waiting = map ask("/disk/log?topic=a&data=$_"), 1 .. 40;
    poll(10, 'all are stored', sub { $t->status->{ring}{committed} >= 96 });
    poll(10, 'while it syncs', $hung);
    $t->kill9($victim);
    my $next = poll(10, 'another one syncs', sub { my $it = syncer(); $it && $it != $victim && $it });
    hang(0);
    my %status;
    $status{ $_->{status} }++ for map { answer_of($_) } @waiting;
    is(($status{0} // 0) + ($status{204} // 0), 40, 'killed: its own clients get no answer, all others 204') or diag(explain(\%status));
    is($t->get('/disk/log?topic=a')->{status}, 204, 'and it goes on');
}

# Reloads and the kill of the publisher, while events come: somebody syncs, all the time.
for my $round (1 .. 3) {
    $t->reload;
    is($t->get('/disk/log?topic=a', timeout => 20)->{status}, 204, "reload $round: 204");
}
poll(20, 'in the end another one than the publisher', sub {
    my ($syncs, $publishes) = (syncer(), $t->publisher_worker);
    return $syncs && $publishes && $syncs != $publishes;
});
$t->kill9($t->publisher_worker);
is($t->get('/disk/log?topic=a', timeout => 20)->{status}, 204, 'the publisher killed: 204');
poll(20, 'it is another one again', sub {
    my ($syncs, $publishes) = (syncer(), $t->publisher_worker);
    return $syncs && $publishes && $syncs != $publishes;
});
pass('and again one worker publishes, another one syncs');

# A reload with a request that waits for the disk: its worker stays.
{
    hang(1);
    my @waiting = map ask("/disk/log?topic=a&data=$_"), 1 .. 10;
    poll(10, 'they wait', sub { !grep readable($_), @waiting });
    $t->reload(wait => 0);
    hang(0);
    is(join(' ', map { answer_of($_)->{status} } @waiting), join(' ', (204) x 10), 'a reload while requests wait: all are answered');
}

# One worker does both; then the interval is long, and who waits does not care.
$t->stop;
conf('%%DIR%%/one', 'sparkngin_sync_interval 1h;', workers => 1);
$t->start(%env)->ready;
is($t->get('/disk/log?topic=a', timeout => 20)->{status}, 204, 'a single worker publishes and syncs');
{
    my $before = syncs();
    is($t->get('/sn/log?topic=a')->{status}, 204, 'sparkngin_sync_interval 1h');
    my $until = time + 1;
    pause_until($until);
    is(syncs(), $before, 'nothing is synced so soon');
    is($t->get('/disk/log?topic=a')->{status}, 204, 'but when somebody waits for it, at once');
    is(syncs(), $before + 1, 'once');
}
$t->stop;

# A disk that refuses every sync, for a while: it costs one file, not one for each try. The level ring goes on.
{
    conf('%%DIR%%/failing');
    $t->start(%env)->ready;
    is($t->get('/disk/log?topic=a')->{status}, 204, 'before the disk fails: 204');
    $t->write_file('fdatasync.fail', '');
    is($t->get('/disk/log?topic=a', timeout => 30)->{status}, 504, 'the sync fails: 504');
    my $refused = poll(20, 'the level disk is refused', sub {
        my $answer = $t->get('/short/log?topic=a');
        return $answer->{status} == 503 && why($answer) =~ /refuses/ && $answer;
    });
    is(why($refused), 'the level "disk" cannot be given: the disk refuses syncs, error.log says why', 'then 503 at the level disk, and why');
    is($refused->{headers}{'retry-after'}, 1, 'with Retry-After');
    # A worker that was told nothing yet meets the poisoned file at its next event.
    poll(20, 'each worker has the new file', sub { !grep { $t->get('/sn/log?topic=a')->{status} != 204 } 1 .. 20 });
    my ($tries, %status) = -s $t->path('fdatasync.failed');
    poll(30, 'it is tried again, and again', sub {
        $status{ $t->get('/sn/log?topic=a')->{status} }++ for 1 .. 10;
        return -s $t->path('fdatasync.failed') >= $tries + 2;
    });
    is(join(' ', keys %status), 204, 'meanwhile each event at the level ring is taken');
    is(scalar(grep { /ring\.\d+$/ } glob $t->path('failing/ring.*')), 2, 'in one other file, not in one for each try');
    like($t->get('/sn/imok')->{body}, qr/^imok\n.*^not synced: the disk refuses syncs, 1 failed in a row; the level "disk" is answered with 503$/ms, '/imok says so');
    is($t->status->{ring}{syncs_refused}, JSON::PP::true, '/status, too');
    $t->logged(qr/\[error\] .*ring\.2 is not synced, after 1 that could not be: Input\/output error \(os error 5\); it is tried again in 1 s/);
    # Who syncs is killed meanwhile: the next one asks the disk before it trusts it.
    $t->kill9(syncer());
    poll(20, 'somebody asks the disk again', sub { -s $t->path('fdatasync.failed') > $tries + 2 });
    is($t->get('/short/log?topic=a')->{status}, 503, 'who tried it is killed: still 503');
    unlink $t->path('fdatasync.fail');
    poll(40, 'the disk is well again, and the level disk there without a hand', sub { $t->get('/disk/log?topic=a', timeout => 30)->{status} == 204 });
    is($t->status->{ring}{syncs_refused}, JSON::PP::false, '/status says so');
    unlike($t->get('/sn/imok')->{body}, qr/not synced/, 'and /imok');
    is(scalar(grep { /ring\.\d+$/ } glob $t->path('failing/ring.*')), 2, 'in the same file');
    $t->logged(qr/\[warn\] .*the disk takes syncs again: ring\.2 is synced/);
}

# All of nginx is killed in a sync of which nobody hears any more: what it was about is never called synced.
{
    my $hung = hang(1);
    my $waits = ask('/disk/log?topic=a&data=waits');
    poll(10, 'it is stored', sub { $t->get('/sn/log?topic=a')->{status} == 204 && !readable($waits) });
    poll(10, 'a sync began', $hung);
    $t->kill9($t->master, $t->workers);
    hang(0);
    $t->start(%env)->ready;
    $t->logged(qr/\[warn\] .*ring\.2 is drained: it is poisoned, who synced it was killed meanwhile and nobody else can tell how that sync ended; (?:ring\.3 takes the events|no other is there yet)$/m);
    my $answer = poll(20, 'the level disk is there again', sub {
        my $it = $t->get('/disk/log?topic=a', timeout => 30);
        return $it->{status} == 204 && $it;
    });
    is(ack($answer) . ' ' . (-e $t->path('failing/ring.3') // 0), 'disk 1', 'in another file');
    $t->stop;
}

# In memory alone.
{
    my $memory = File::Temp->newdir('sn-XXXXXX', DIR => '/dev/shm');
    chmod 0755, "$memory";
    my $vain = sub { my ($text) = @_; qr{\[warn] "\Q$text\E" needs a ring on a disk, "\Q$memory\E/ring" is on tmpfs: the level "disk" is answered with 503 in \S+nginx\.conf:\d+$}m };
    for my $row (['sparkngin_root_loc; sparkngin_ack ring max=disk;', 'sparkngin_ack ring max=disk'], ['sparkngin_root_loc; sparkngin_ack disk max=kafka;', 'sparkngin_ack disk max=kafka'],
        ['sparkngin_root_loc; sparkngin_ack ring;'], ['sparkngin_ack disk;'], ['sparkngin_root_loc;']) {
        my ($location, $told) = @$row;
        conf("$memory/ring", '', server => '', location => $location);
        my ($code, $said) = $t->check;
        is($code, 0, "nginx -t takes \"$location\" on tmpfs") or diag($said);
        $told ? like($said, $vain->($told), '  and warns') : unlike($said, qr/tmpfs/, '  without a word');
        # nginx made the directory; there is none when it is asked first.
        rmdir "$memory/ring";
    }
    conf("$memory/ring");
    like(($t->check)[1], $vain->('sparkngin_ack disk timeout=20s'), 'of several the first is named');
    $t->start->ready;
    my $answer = $t->get('/disk/log?topic=a');
    is($answer->{status}, 503, 'on tmpfs the level disk is refused');
    is(why($answer), 'the level "disk" cannot be given: the ring lies in memory (tmpfs), and is gone with the machine\'s power', 'and why');
    is($t->get('/sn/log?topic=a')->{status}, 204, 'the level ring is not');
    is(syncer(), undef, 'and nobody syncs');
    $t->stop;
}

$t->finish;

# Sends a request, and does not wait for its answer.
sub ask {
    my ($target) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) // die "nginx does not answer\n";
    syswrite $socket, "GET $target HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    return $socket;
}

sub readable { my ($socket) = @_; return IO::Select->new($socket)->can_read(0) }

sub answer_of {
    my ($socket) = @_;
    return $t->raw('', socket => $socket, timeout => 40);
}
