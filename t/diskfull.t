#!/usr/bin/perl

# Disks that are full, on tmpfs and on ext4 over a loop device, in a mount namespace of the test's own. The ring's: no
# room for its file is 503 with the reason, and events are taken by themselves when there is room; a ring that is there
# was allocated in full, so it goes on, through a kill and a reload, with not a byte free, and nobody gets a SIGBUS.
# nginx's temporary files': what has to go there is refused, not silently dropped, and all else goes on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Errno;
use Test::More;
use Time::HiRes 'time';

# Only root may mount; what is mounted ends with the namespace.
BEGIN {
    if (!$ENV{SPARKNGIN_OWN_MOUNTS}) {
        $ENV{SPARKNGIN_OWN_MOUNTS} = 1;
        exec 'unshare', '--mount', '--propagation', 'private', $^X, $0 or die "unshare: $!\n";
    }
}
use Sparkngin::Spine;

full($_) for grep { ($ENV{FAULT} // $_) =~ /$_$/ } qw(tmpfs ext4);
done_testing();

sub full {
    my ($kind) = @_;
    my $t = Sparkngin::Spine->new(buf_size => '16m', start => 0, location => 'client_body_buffer_size 1k;');
    my ($ring, $temp) = map { mounted($t, $kind, $t->path($_)) } qw(ring client_body);
    fill($ring);
    $t->start;
    my $refused = poll(20, 'the reason is known', sub {
        my $it = $t->get('/sn/log?topic=none');
        return $it->{status} == 503 && $t->error_log =~ /sparkngin: .*No space left/ && $it;
    });
    like($refused->{body}, qr/^\{.*"error"/, "$kind: no room for the ring is 503, with a reason");
    is($t->get('/sn/imok')->{status}, 503, "$kind: and /imok says so");
    empty($ring);
    $t->ready;
    pass("$kind: with room, events are taken by themselves");
    $t->subscribe;
    $t->attached;

    $t->row(17, "ring-$kind", 1, sub {
        my ($load) = @_;
        $load->fault('the disk is filled', sub { fill($ring) });
        $load->wait_more(500);
        $load->fault('a worker -9 with the disk full', sub { $t->kill9(($t->workers)[0]) });
        poll(10, 'its place is taken', sub { 2 == $t->workers });
        $load->fault('a reload with the disk full', sub { $t->reload(wait => 0) });
        $load->wait_more(500);
        poll(20, 'the old workers have left', sub { 2 == $t->workers });
        empty($ring);
    });

    my $large = 'x' x 20_000;
    my $post = sub {
        my $status = $t->post('/sn/log?topic=large', $large)->{status};
        $t->{totals}{taken}++ if $status == 204;
        return $status;
    };
    is($post->(), 204, "$kind: a large event goes through a temporary file");
    $t->row(17, "temp-$kind", 1, sub {
        my ($load) = @_;
        # The room of the large event before comes back after its answer.
        $load->fault('the disk of temporary files is full', sub {
            poll(10, 'not a byte more fits for a while', sub { !fill($temp) && !fill($temp, 0.05) });
        });
        cmp_ok($post->(), '>=', 500, "$kind: a large event is refused while there is no room");
        $load->wait_more(500);
        empty($temp);
        is($post->(), 204, "$kind: and taken when there is");
    });
    $t->{expected} = qr/pwritev?\(\) .*client_body.* failed \(28|No space left/;
    $t->drained->close_books;
    $t->finish(done => 0);
    system 'umount', '--lazy', $ring, $temp;
}

# A disk of 32 MB, mounted there.
sub mounted {
    my ($t, $kind, $dir) = @_;
    mkdir $dir or die "$dir: $!\n";
    my @command = ('mount', '-t', 'tmpfs', '-o', 'size=32m', 'none', $dir);
    if ($kind eq 'ext4') {
        my $image = "$dir.img";
        open my $out, '>', $image or die "$image: $!\n";
        truncate $out, 32 << 20;
        close $out;
        my ($code, $text) = $t->run('mkfs.ext4', '-q', '-m', '0', $image);
        die "mkfs.ext4: $text\n" if $code;
        @command = ('mount', '-o', 'loop', $image, $dir);
    }
    my ($code, $text) = $t->run(@command);
    die "@command: $text\n" if $code;
    chmod 0755, $dir;
    return $dir;
}

# To the last byte, at once or a little later. How many were written.
sub fill {
    my ($dir, $later) = @_;
    pause_until(time + $later) if $later;
    open my $out, '>>:raw', "$dir/filler" or die "$dir/filler: $!\n";
    my $before = -s $out;
    for my $size (65536, 512, 1) {
        1 while syswrite $out, "\0" x $size;
        die "$dir: $!\n" if !$!{ENOSPC};
    }
    return -s($out) - $before;
}

sub empty {
    my ($dir) = @_;
    unlink "$dir/filler" or die "$dir/filler: $!\n";
}
