#!/usr/bin/perl
# `sparkngin doctor` beside a real nginx and a Kafka of three brokers: of a whole that is well it says nothing bad, and of each
# thing that will bite what it is and what to do.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp;
use JSON::PP;
use POSIX ();
use Sparkngin::Spine;
use Test::More;

my $t = Sparkngin::Spine->new(buf_size => '4m', start => 0);
my $kafka = $t->{kafka};
$kafka->joined($_) for 2, 3;
my ($good, $letters) = ('clicks', 'sparkngin.dead');
$kafka->create($_, copies => 3, 'min.insync.replicas' => 2) for $good, $letters;
my $rlimit = 'worker_rlimit_nofile 8192;';
conf();
$t->start->ready;
$t->subscribe('--topics', $good);
$t->attached;

# nginx's conf as it would be good, changed as told.
sub conf {
    my (%opt) = @_;
    $t->spine_conf(connections => 1024, %opt);
    my $text = $t->read_file('nginx.conf');
    $text =~ s/^(pid )/$rlimit\n$1/m;
    $text = $opt{change}->($text) if $opt{change};
    return $t->write_file('nginx.conf', $text);
}

# What it finds, by area and state; the code; all that it printed. A container's clock is its host's, so that is asked apart.
sub doctor {
    my (%opt) = @_;
    my @nginx = ('--nginx', $opt{nginx} // $Sparkngin::NGINX, '--nginx-conf', $t->path('nginx.conf'), '--nginx-prefix', $t->dir);
    my %usual = ('--feed' => $t->feed, '--kafka' => $kafka->address, '--http' => "127.0.0.1:$t->{metrics}", '--topics' => $good);
    delete @usual{ @{ $opt{subscribe} // [] } };
    my @skip = map { ('--skip', $_) } @{ $opt{skip} // ['clock'] };
    my @command = ($Sparkngin::PROGRAM, 'doctor', @nginx, @skip, '--json', @{ $opt{flags} // [] });
    push @command, '--', %usual, @{ $opt{subscribe} // [] } if !$opt{bare};
    my ($code, $text) = $t->run(@command);
    my $said = eval { JSON::PP->new->decode($text) } or die "no JSON: $text";
    return ($code, $said, $text);
}

# The one finding with these words; there must be a remedy in it, and the exit code must say how bad it is.
sub finds {
    my ($what, $state, $area, $words, $remedy, %opt) = @_;
    my ($code, $said, $text) = doctor(%opt);
    my ($found) = grep { $_->{area} eq $area && $_->{found} =~ $words } @{ $said->{findings} };
    ok($found, $what) or return diag($text);
    is($found->{state}, $state, "  $state");
    like($found->{remedy}, $remedy, '  with its remedy');
    my %least = (warning => 1, error => 2);
    cmp_ok($code, '>=', $least{$state}, '  and an exit code');
}

# --- all is well ---

poll(20, 'nothing is wrong just now', sub { !@{ $t->status->{wrong} } });
my ($code, $said, $text) = doctor();
is($code, 0, 'nothing is wrong: 0') or diag($text);
is($said->{worst}, 'ok', '  ok');
my %areas = map { $_->{area} => 1 } @{ $said->{findings} };
is(join(' ', sort keys %areas), 'directory doors kafka limits nginx size subscriber', '  each area was looked at');
is(scalar(grep { defined $_->{remedy} } @{ $said->{findings} }), 0, '  and there is nothing to do');

# --- as lines, and from a file ---

my $toml = $t->write_file('s.toml', <<"TOML", 0644);
feed = ["@{[ $t->feed ]}"]
kafka = ["@{[ $kafka->address ]}"]
http = "127.0.0.1:$t->{metrics}"
topics = ["$good"]
TOML
my @nginx = ('--nginx', $Sparkngin::NGINX, '--nginx-conf', $t->path('nginx.conf'), '--nginx-prefix', $t->dir);
($code, $text) = $t->run($Sparkngin::PROGRAM, 'doctor', @nginx, '--skip', 'clock', '--config', $toml);
is($code, 0, 'the same by a file') or diag($text);
like($text, qr/^ok       nginx      nginx\/[\d.]+ takes \S+\.so\n(?:ok +[a-z]+ +\S.*\n)+0 warnings, 0 errors\n\z/, '  a line each');
($code, $text) = $t->run($Sparkngin::PROGRAM, 'doctor', '--outage', 'soon');
is($code, 3, 'an option that is wrong: 3');
($code, $text) = $t->run($Sparkngin::PROGRAM, 'doctor', '--skip', 'everything');
is($code, 3, 'a word that is none: 3');

# --- the clock: what the kernel says ---

# adjtimex asks by modes of 0; in what it writes the status is the fifth long (four bytes of it).
my %adjtimex = (x86_64 => 159, aarch64 => 171);
my $buffer = "\0" x 256;
my $told = syscall($adjtimex{ (POSIX::uname())[4] }, $buffer);
my $unsync = $told < 0 || $told == 5 || (unpack 'x40 l', $buffer) & 0x40;
($code, $said) = doctor(skip => [qw(nginx size subscriber kafka)], bare => 1);
is_deeply([map { "$_->{area} $_->{state}" } @{ $said->{findings} }], ['clock ' . ($unsync ? 'warning' : 'ok')], 'the clock is as the kernel says');
is($code, $unsync ? 1 : 0, '  and so is the exit code');

# --- nginx and the module ---

my $module = "$Sparkngin::BUILD/ngx_http_sparkngin_module.so";
finds('no nginx', 'error', 'nginx', qr/is no nginx that runs/, qr/--nginx/, nginx => '/bin/true');
conf(change => sub { $_[0] =~ s/sparkngin_ack/sparkngin_akc/r });
finds('a configuration that is wrong', 'error', 'nginx', qr/unknown directive "sparkngin_akc"/, qr/correct it/);
for my $other (['signature', qr/is not binary compatible in \S+; its signature is [0-9,]+, and nginx's [0-9,]+$/], ['version', qr/version 1000001 instead of \d+/]) {
    my ($how, $words) = @$other;
    my $built = $t->path("$how/ngx_http_sparkngin_module.so");
    mkdir $t->path($how);
    changed($module, $built, $how);
    conf(change => sub { $_[0] =~ s/load_module \S+;/load_module $built;/r });
    finds("a module for another nginx: $how", 'error', 'nginx', $words, qr/^build the module with the source and the options of nginx\/[\d.]+ /);
}

# A module with another signature, or for another version: what nginx compares, changed in the file.
sub changed {
    my ($from, $to, $how) = @_;
    open my $in, '<:raw', $from or die "$from: $!";
    my $bytes = do { local $/; <$in> };
    $bytes =~ /[48],[48],[48],[01]{24,}/ or die 'no signature';
    my ($at, $length) = ($-[0], $+[0] - $-[0]);
    if ($how eq 'signature') { substr($bytes, $at + $length - 1, 1) =~ tr/01/10/ }
    else {
        # The number stands in the module's structure, between zeros and the pointer to that text: as in nginx.h.
        my ($version) = qx($Sparkngin::NGINX -v 2>&1) =~ m{nginx/(\S+)};
        my ($major, $minor, $patch) = split /\./, $version;
        my $number = pack 'Q<', $major * 1_000_000 + $minor * 1000 + $patch;
        $bytes =~ s/\Q$number\E/pack 'Q<', 1_000_001/eg or die "no version\n";
    }
    open my $out, '>:raw', $to or die "$to: $!";
    print $out $bytes;
    close $out or die "$to: $!";
}

# --- the directory ---

{
    # As root alone nginx's workers are another user's.
    my $ring = $t->path('ring');
    my ($uid, $gid) = (stat $ring)[4, 5];
    conf();
    if ($> == 0) {
        my ($file) = glob "$ring/ring.*";
        chown 0, 0, $file;
        finds('a file of another user', 'error', 'directory', qr/^ring\.\d+ in \S+ is not of nginx's user www-data/, qr/^chown -R www-data \Q$ring\E/);
        chown $uid, $gid, $file;
    }
    chmod 0755, $ring;
    finds('a directory that others may enter', 'warning', 'directory', qr/others may enter \S+: its mode is 0755$/, qr/^chmod 0700 \Q$ring\E$/);
    chmod 0700, $ring;
}
{
    my $second = Sparkngin->new(program => 0);
    my $ring = $t->path('ring');
    $second->conf(http => "sparkngin_listen off; sparkngin_buf_path $ring;", location => 'sparkngin_root_loc;');
    $second->start->ready;
    $t->logged(qr/another nginx/);
    my $both = join ' and ', map { quotemeta(sprintf '"%s/nginx.conf" (pid file "%s/nginx.pid")', $_->dir, $_->dir) } $t, $second;
    finds('a directory of two nginx', 'error', 'directory', qr/^more than one nginx uses \Q$ring\E, $both: each/, qr/^give each a sparkngin_buf_path/);
    $second->stop;
    $second->{finished} = 1;
    poll(5, 'it is gone', sub { $t->get('/sn/imok')->{body} !~ /another nginx/ });
    $t->{expected} = qr/another nginx uses this ring's directory/;
}
{
    my $memory = '/dev/shm';
    die "no tmpfs\n" if qx(stat -f -c %T $memory) ne "tmpfs\n";
    my $ring = File::Temp->newdir("$memory/sn-XXXXXX");
    chmod 0755, "$ring";
    conf(change => sub { $_[0] =~ s/sparkngin_buf_path \S+;/sparkngin_buf_path $ring\/ring;/r });
    finds('a ring in memory', 'warning', 'directory', qr/lies in memory \(tmpfs\)/, qr/sparkngin_buf_path/);
}
conf();

# --- sizes, doors, limits: what the configuration says ---

$t->post("/sn/log?topic=$good", 'x' x 20_000) for 1 .. 40;
$t->drained;
poll(60, 'a tick with them is known', sub { defined $t->status->{recent}{lasts_ms} });
finds('a ring that is soon full', 'warning', 'size', qr/^at [\d.,]+ events\/s the ring of 4 MiB lasts .* Kafka may be away for 7 d 0 h$/, qr/^set (?:sparkngin_buf_size \d+m,|a larger)/,
    flags => ['--outage', '168h']);
finds('an nginx that does not answer', 'error', 'size', qr/^nginx does not answer at /, qr/start nginx/, flags => ['--url', 'http://127.0.0.1:' . $t->port('nobody') . '/sn/']);

conf(change => sub { $_[0] =~ s/sparkngin_listen \S+;/'sparkngin_listen *:' . $t->port('open') . ' feed=127.0.0.1:' . $t->port('feed') . ' insecure;'/er });
finds('live without a key', 'warning', 'doors', qr/^whoever reaches \*:\d+ reads every event/, qr/sparkngin_curve_key/);
finds('a feed without a key', 'warning', 'doors', qr/^whoever reaches the feed \S+ acknowledges the events of "kafka"/, qr/key=FILE/);
my $secret = $t->write_file('password', 'x', 0644);
conf();
finds('a secret that everybody may read', 'error', 'doors', qr/^everybody may read \Q$secret\E, which has sasl\.password$/, qr/0600/,
    subscribe => ['-X', "sasl.password\@$secret"]);
finds('figures for everybody', 'warning', 'doors', qr/^whoever reaches 0\.0\.0\.0:\d+ sees/, qr/127\.0\.0\.1/,
    subscribe => ['--http', '0.0.0.0:' . $t->port('http')]);

$rlimit = 'worker_rlimit_nofile 512;';
conf();
finds('too few descriptors', 'warning', 'limits', qr/^worker_rlimit_nofile is 512 descriptors, and worker_connections 1024/, qr/^set worker_rlimit_nofile 2304/);
$rlimit = 'worker_rlimit_nofile 8192;';
conf(change => sub { $_[0] =~ s/^(error_log \S+)[^;]*;/$1;/mr });
finds('warnings that nobody keeps', 'warning', 'nginx', qr/^error_log keeps lines from "error" on/, qr/^say `error_log FILE warn;`/);
conf(change => sub { $_[0] =~ s/worker_shutdown_timeout \S+;//r });
finds('workers that never leave', 'warning', 'limits', qr/^worker_shutdown_timeout is not set/, qr/^set worker_shutdown_timeout/);
conf();

# --- the subscriber ---

finds('no settings', 'warning', 'subscriber', qr/^no settings of a subscriber/, qr/--config/, bare => 1) if !-e '/etc/sparkngin/subscribe.toml';
finds('settings that are wrong', 'error', 'subscriber', qr/--window "1": it must be/, qr/correct it/, subscribe => ['--window', '1']);
finds('a name that nginx does not know', 'error', 'subscriber', qr/^the subscriber is "other", and nginx keeps events for kafka$/, qr/sparkngin_subscriber other/,
    subscribe => ['--name', 'other']);
finds('a feed that is not there', 'error', 'subscriber', qr/^there is no feed at ipc:\/\/\S+nowhere$/, qr/feed\.sock/,
    subscribe => ['--feed', 'ipc://' . $t->path('nowhere')]);

# --- Kafka ---

my %topics = (
    one => [ { copies => 1 }, qr/^one broker has the only copy \(replication factor 1\).*: one$/, qr/replication factor/ ],
    lax => [ { copies => 3 }, qr/^a record counts as kept when one of 3 brokers has it.*: lax$/, qr/min\.insync\.replicas=2/ ],
    tight => [ { copies => 2, 'min.insync.replicas' => 2 }, qr/^nothing is taken while one broker is away.*: tight$/, qr/replication factor/ ],
    never => [ { copies => 1, 'min.insync.replicas' => 2 }, qr/^nothing is ever taken \(min\.insync\.replicas 2 of 1 replicas\): never$/, qr/lower min\.insync/, 'error' ],
    small => [ { copies => 3, 'min.insync.replicas' => 2, 'max.message.bytes' => 40000 }, qr/^a large event may be refused.*max\.message\.bytes 39\.1 KiB, sparkngin_max_event 32 KiB.*: small$/, qr/set max\.message\.bytes/ ],
    compact => [ { copies => 3, 'min.insync.replicas' => 2, 'cleanup.policy' => 'compact' }, qr/^records without a key are refused.*: compact$/, qr/cleanup\.policy=delete/ ],
    unclean => [ { copies => 3, 'min.insync.replicas' => 2, 'unclean.leader.election.enable' => 'true' }, qr/^a broker that is behind may lead.*: unclean$/, qr/election\.enable=false/ ],
);
for my $name (sort keys %topics) {
    my ($made, $words, $remedy, $state) = @{ $topics{$name} };
    $kafka->create($name, %$made);
    finds("the topic $name", $state // 'warning', 'kafka', $words, $remedy, subscribe => ['--topics', $name]);
}
$kafka->set($letters, 'max.message.bytes', 40000);
finds('a dead letter that is too small', 'error', 'kafka', qr/^the dead letter may refuse a large event.*: sparkngin\.dead$/, qr/max\.message\.bytes/);
finds('a dead letter that is not there', 'error', 'kafka', qr/^the dead letter's topic nowhere is not there/, qr/make it/, subscribe => ['--dead-letter', 'topic:nowhere']);
finds('a topic that is not there', 'warning', 'kafka', qr/^listed topics are not there, .*: missing$/, qr/create-topics/, subscribe => ['--topics', "$good,missing"]);
finds('a Kafka that does not answer', 'error', 'kafka', qr/^127\.0\.0\.1:\d+ does not answer: /, qr/start Kafka/, subscribe => ['--kafka', '127.0.0.1:' . $t->port('nobody')]);

# --- what is away ---

$t->{subscriber}->stop;
poll(30, 'nginx knows that it is away', sub { !$t->status->{subscribers}[0]{connected} });
finds('a subscriber that is away', 'error', 'subscriber', qr/^no subscriber answers at /, qr/start it/);
finds('what is wrong now', 'error', 'size', qr/^Subscriber "kafka" is away/, qr/operations\.md/);

$t->finish;
