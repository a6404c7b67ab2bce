#!/usr/bin/perl

# What makes a ring's file an old one, with a real nginx and a real Kafka: another size and block size over a reload under
# load, a poisoned file, a copy, a reboot in order, a power loss, no room for a second file. The events go on in a new
# file, the old one is drained and removed, what is no ring of ours is left alone, and nothing is lost without being told.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Copy 'copy';
use Test::More;
use Sparkngin::Spine;

use constant { CLEAN => 4096 + 6 * 128, POISONED => 4096 + 5 * 128 };

my $t = Sparkngin::Spine->new(buf_size => '4m');
my $number = 1;

# --- another size, another block size: a reload under load ---

{
    my $load = $t->load(rate => 2000);
    $load->wait_more(1000);
    for my $change ([ 'a larger size', buf_size => '8m' ], [ 'a smaller one', buf_size => '4m' ],
        [ 'larger blocks', buf_size => '4m', http => 'sparkngin_max_event 100k;' ]) {
        my ($what, %conf) = @$change;
        $t->spine_conf(%conf);
        my $before = traces();
        my ($code, $said) = $t->check;
        is($code, 0, "nginx -t with $what");
        like($said, qr/\[warn\] .*ring\.$number has \d+ blocks of 65536 bytes, and \d+ of \d+ are configured: a new file of \d+ bytes is made, and ring\.$number is drained and then removed/,
            '  it says what becomes of the file');
        is_deeply(traces(), $before, '  and changes nothing');
        $load->fault("a reload with $what", sub { $t->reload(wait => 0) });
        removed($what);
        $load->wait_more(1000);
    }
    $load->stop;
    # A worker that leaves may close a connection over which a request is just coming: that one gets no answer.
    is(scalar(grep { $_->{status} && $_->{status} != 204 } $load->events), 0, 'each event was answered with success');
    $t->audit($load, name => 'changed sizes', surplus => 'none');
    is_deeply([ rings() ], ["ring.$number"], 'one file is left');
    my ($code, $said) = $t->check;
    unlike($said, qr/\[warn\]/, 'nginx -t with the sizes that are there says nothing');
}

# --- poisoned, as a sync that failed leaves it ---

{
    my $load = $t->load(rate => 2000);
    $load->wait_more(1000);
    $load->fault('the file is poisoned', sub { put("ring.$number", POISONED, 1) });
    $t->logged(qr/ring\.$number is drained: it is poisoned/);
    removed('poisoned');
    $load->wait_more(1000);
    $load->stop;
    $t->audit($load, name => 'poisoned', surplus => 'none');
    # Four files are gone, and what was counted in them is not.
    $t->close_books;
}

# --- a copy ---

{
    copy("$t->{dir}/ring/ring.$number", "$t->{dir}/ring/ring.50") or die "copy: $!\n";
    my $bytes = $t->read_file('ring/ring.50');
    # As root made it, the workers may not even read it.
    $t->logged(qr/ring\.50 is left alone: it cannot be read: Permission denied/);
    chown +(stat "$t->{dir}/ring/ring.$number")[ 4, 5 ], "$t->{dir}/ring/ring.50";
    $t->logged(qr/ring\.50 is left alone: it is a copy of another file; move it away/);
    like($t->get('/sn/imok')->{body}, qr/^imok\n(?:.*\n)*left alone: ring\.50, it is a copy/, '/imok says so, too');
    is_deeply($t->status->{left_alone}, [ { number => 50, why => 'copy' } ], 'and so does /status');
    my $load = $t->load(rate => 2000, count => 2000);
    $load->wait_more(1000);
    $load->stop;
    $t->audit($load, name => 'a copy', surplus => 'none');
    ok($t->read_file('ring/ring.50') eq $bytes, 'nobody has written to it');
    unlink "$t->{dir}/ring/ring.50" or die "unlink: $!\n";
}

# --- reboots: the processes end, and the file says that it is of another boot ---

{
    my $load = away(sub { $t->stop });
    is(word("ring.$number", CLEAN), 1, 'the last process that left has called the file clean');
    reboot();
    $t->start->ready;
    $t->logged(qr/ring\.$number is drained: the machine was booted since, in order: nothing is missing/);
    is($t->status->{older}[0]{why}, 'boot', '/status says why the file is drained');
    $t->subscribe;
    removed('a reboot in order', qr/, 0 lost, 0 dead-lettered, 0 uncertain$/);
    $t->audit($load, name => 'a reboot in order', surplus => 'none');
    is(uncertain(), 0, 'the subscriber was told of nothing uncertain');
}

{
    my $load = away(sub { $t->kill9($t->master, $t->workers) });
    is(word("ring.$number", CLEAN), 0, 'a file that nobody left in order is not clean');
    # Two sectors of records never came to the disk.
    my $size = -s "$t->{dir}/ring/ring.$number";
    my $data = $size - 4 * 1024 * 1024;
    put("ring.$number", $data + 20_000, (0) x 64);
    put("ring.$number", $data + 60_000, (0) x 64);
    reboot();
    $t->start->ready;
    $t->logged(qr/ring\.$number is drained: the machine stopped without notice/);
    is($t->status->{older}[0]{why}, 'power', '/status says why the file is drained');
    $t->subscribe;
    my $said = removed('a power loss', qr/, 0 lost, 0 dead-lettered, \d+ uncertain, and perhaps more at the end of a stream$/);
    my ($committed, $told) = $said =~ / (\d+) events, .* (\d+) uncertain/;
    is(uncertain(), $told, "the subscriber was told of the $told that error.log counts as uncertain");
    ok($told > 0 && $told < 1000, 'some of one block or two');
    my %topics = $t->{kafka}->topics;
    my $found = grep { defined $_->{headers}{sg} } $t->{kafka}->read($load->{topic});
    is($found + $told, $load->taken, 'each event that was answered with success is in Kafka, or among the uncertain');
}

# --- no room for a second file ---

{
    my $has = $t->status->{ring}{bytes};
    $t->spine_conf(buf_size => '60000g');
    my $no_room = qr/there is no room for a new file of \d+ bytes, ring\.$number is used on/;
    like(($t->check)[1], $no_room, 'nginx -t says that there is no room');
    $t->reload;
    $t->logged(qr/there is no room for a ring of \d+ bytes beside the one that is there: the one of $has bytes is used on/);
    my $load = $t->load(rate => 2000, count => 2000);
    $load->wait_more(1000);
    $load->stop;
    $t->audit($load, name => 'no room', surplus => 'none');
    is_deeply([ rings() ], ["ring.$number"], 'the file is used on');

    # With other blocks it cannot be: 503 until it is drained, and then as long as there is no room.
    $t->{subscriber}->signal('TERM');
    $t->{subscriber}->ended;
    my $kept = $t->load(rate => 2000, count => 1000);
    $kept->wait_more(1000);
    $kept->stop;
    $t->spine_conf(buf_size => '60000g', http => 'sparkngin_max_event 300k;');
    like(($t->check)[1], qr/there is no room for a new file of \d+ bytes, \/log is 503 until ring\.$number is drained and there is/, 'nginx -t says so');
    $t->reload;
    is($t->get('/sn/log?topic=a')->{status}, 503, '503 where the old file cannot be used');
    $t->logged(qr/events are answered with 503: no room in ".*" for a ring's file of \d+ bytes/);
    $t->subscribe;
    $t->logged(qr/ring\.$number is drained and removed/, 30);
    $t->audit($kept, name => 'no room for other blocks', surplus => 'none', drain => 0);
    $t->spine_conf(buf_size => '8m', http => 'sparkngin_max_event 300k;');
    $t->reload->ready;
    is($t->get('/sn/log?topic=a')->{status}, 204, 'events are taken again');
}

$t->finish;

# --- the helpers of this file ---

# What lies in the ring's directory, and what nobody but a maker or remover would change of it: names, inodes, sizes, owners.
sub traces { return { map { $_ => join ' ', (lstat $_)[ 1, 2, 4, 5, 7 ] } grep { !/bell/ } glob "$t->{dir}/ring/*" } }

sub rings { return sort map { s{.*/}{}r } glob "$t->{dir}/ring/ring.*" }

# Waits until the file in use is drained and removed, and another one is there: the line that says so.
sub removed {
    my ($what, $books) = @_;
    my $said = poll(30, "$what: ring.$number is removed", sub {
        my ($line) = $t->error_log =~ /(ring\.$number is drained and removed: .*)/;
        return $line;
    });
    $books //= qr/, 0 lost, 0 dead-lettered, 0 uncertain$/;
    like($said, $books, "$what: the old file is removed, with these books");
    ok(!-e "$t->{dir}/ring/ring.$number", 'it is gone');
    $number++;
    return $said;
}

# Events that wait for a subscriber when nginx ends, however it does.
sub away {
    my ($end) = @_;
    $t->{subscriber}->signal('TERM');
    $t->{subscriber}->ended;
    my $load = $t->load(rate => 2000, count => 3000);
    $load->wait_more(2000);
    $load->stop;
    $end->();
    return $load;
}

# As if the machine had been booted since: another boot id, and the sum that belongs to it.
sub reboot {
    open my $file, '+<:raw', "$t->{dir}/ring/ring.$number" or die "ring.$number: $!\n";
    read $file, my $bytes, 120;
    substr($bytes, 64, 1) ^= "\1";
    seek $file, 0, 0;
    print $file $bytes, pack 'Q<', crc32c($bytes);
    close $file or die "ring.$number: $!\n";
}

sub crc32c {
    my ($bytes) = @_;
    my $crc = 0xFFFFFFFF;
    for my $byte (unpack 'C*', $bytes) {
        $crc ^= $byte;
        $crc = $crc >> 1 ^ ($crc & 1 ? 0x82F63B78 : 0) for 1 .. 8;
    }
    return $crc ^ 0xFFFFFFFF;
}

sub put {
    my ($name, $at, @words) = @_;
    open my $file, '+<:raw', "$t->{dir}/ring/$name" or die "$name: $!\n";
    sysseek $file, $at, 0;
    syswrite $file, pack 'Q<*', @words or die "$name: $!\n";
}

sub word {
    my ($name, $at) = @_;
    open my $file, '<:raw', "$t->{dir}/ring/$name" or die "$name: $!\n";
    seek $file, $at, 0;
    read $file, my $bytes, 8;
    return unpack 'Q<', $bytes;
}

sub uncertain {
    my $metrics = $t->get('/metrics', port => $t->{metrics})->{body};
    my ($count) = $metrics =~ /^sparkngin_feed_uncertain_events_total(?:\{.*\})? (\d+)$/m;
    return $count // die "the subscriber's /metrics has no uncertain_events_total: $metrics\n";
}
