#!/usr/bin/perl

# Where a ring may lie, with real mounts in a mount namespace of the test's own: on ext4, overlayfs and btrfs in place, with every level;
# on tmpfs, but for the level `disk`; not on ramfs, where no room can be reserved, nor on FUSE, nor on btrfs that copies, and error.log says why. Another
# directory, and events are taken.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

# Only root may mount; what is mounted ends with the namespace.
BEGIN {
    if (!$ENV{SPARKNGIN_OWN_MOUNTS}) {
        $ENV{SPARKNGIN_OWN_MOUNTS} = 1;
        exec 'unshare', '--mount', '--propagation', 'private', $^X, $0 or die "unshare: $!\n";
    }
}
use Sparkngin;

my $t = Sparkngin->new;
my $disk = $t->path('disk');
mkdir $disk;
system_ok('mkfs.ext4', '-q', '-m', '0', image());
system_ok('mount', '-o', 'loop', image(), $disk);

sub image {
    my $image = $t->path('disk.img');
    return $image if -e $image;
    $t->write_file('disk.img', '');
    truncate $image, 64 << 20 or die "$image: $!\n";
    return $image;
}

# What is mounted at a directory for the ring, and what an event gets there at the levels ring and disk.
for my $row (
    ['ext4', sub { system_ok('mount', '--bind', make("$disk/ring"), $_[0]) }, 204, 204],
    ['overlayfs', sub {
        my $lower = make($t->path('lower'));
        system_ok('mount', '-t', 'overlay', '-o', "lowerdir=$lower,upperdir=" . make("$disk/upper") . ',workdir=' . make("$disk/work"), 'none', $_[0]);
    }, 204, 204],
    ['tmpfs', sub { system_ok('mount', '-t', 'tmpfs', '-o', 'size=32m,mode=755', 'none', $_[0]) }, 204, 503],
    ['ramfs', sub { system_ok('mount', '-t', 'ramfs', 'none', $_[0]) }, 503, 503, qr/no room in "%s" for a ring's file of \d+ bytes/],
    ['btrfs', \&btrfs, 503, 503, qr/"%s" is on btrfs, which copies what is written to, so that a full disk kills who writes \(on btrfs: `chattr \+C` the directory\); it must be on a local file system/],
    ['btrfs in place', sub { btrfs($_[0]); system_ok('chattr', '+C', $_[0]) }, 204, 204],
    ['FUSE', \&fuse, 503, 503, qr/"%s" is on FUSE, which is served by a program, so what was written can be lost with it; it must be on a local file system such as ext4, xfs or tmpfs/],
) {
    my ($kind, $mount, $ring, $synced, $reason) = @$row;
    my $at = make($t->path('on-' . $kind =~ tr/ /-/r));
    $mount->($at);
    conf($at);
    my $before = length $t->error_log;
    $t->start;
    my %got;
    poll(20, "$kind: an answer that stays", sub {
        %got = map { $_ => $t->get("/$_/log?topic=a") } qw(sn disk);
        return $got{sn}{status} == $ring && ($ring == 503 || why($got{disk}) !~ /being opened/) && ($ring == 204 || why($got{sn}) !~ /being opened/);
    });
    is($got{sn}{status}, $ring, "$kind: $ring");
    is($got{disk}{status}, $synced, "$kind: $synced at the level disk");
    my $log = substr $t->error_log, $before;
    if ($ring == 503) {
        is(why($got{sn}), 'the ring cannot be opened, error.log says why', '  and where to look');
        $reason =~ s/%s/\Q$at\E/;
        like($log, qr/\[error\] .*events are answered with 503: $reason/, '  error.log says why');
        is($t->get('/sn/imok')->{status}, 503, '  /imok is 503');
        # Another directory, and a reload.
        conf($t->path('plain'));
        $t->reload->ready;
        is($t->get('/sn/log?topic=a')->{status}, 204, '  in another directory: 204');
    }
    else {
        like(why($got{disk}), qr/^the level "disk" cannot be given: the ring lies in memory/, '  and why') if $synced == 503;
        unlike($log, qr/\[(?:warn|error)\](?!.*the level "disk" (?:cannot be given|is answered with 503))/, "$kind: nothing else is said about it");
    }
    $t->stop;
    system_ok('umount', '--lazy', $at);
}
$t->finish(done => 0);
system_ok('umount', '--lazy', $disk);
done_testing();

sub conf {
    my ($at) = @_;
    $t->conf(http => "sparkngin_listen %%PORT_live%%; sparkngin_buf_path $at; sparkngin_buf_size 1m;", location => 'sparkngin_root_loc;',
        server => 'location /disk/ { sparkngin_root_loc; sparkngin_ack disk timeout=20s; }');
}

sub why { return eval { JSON::PP->new->decode($_[0]{body})->{error} } // '' }

sub make { my ($dir) = @_; mkdir $dir, 0755 or die "$dir: $!\n"; return $dir }

# An empty one of 16 MB, as `mkfs.btrfs --mixed` made it.
sub btrfs {
    my ($at) = @_;
    my $image = $t->path('btrfs.img.' . ++$t->{images});
    system_ok($Sparkngin::PYTHON, '-c', 'import lzma, sys; open(sys.argv[2], "wb").write(lzma.open(sys.argv[1]).read())', "$FindBin::Bin/lib/btrfs.img.xz", $image);
    system_ok('mount', '-o', 'loop', $image, $at);
}

sub fuse {
    my ($at) = @_;
    my $owner = $> == 0 ? (getpwnam 'www-data')[2] : $>;
    $t->daemon(name => 'fuse', command => [ $Sparkngin::PYTHON, "$Sparkngin::ROOT/t/lib/fuse.py", $at, $owner ])->says(qr/^mounted/);
}

sub system_ok {
    my (@command) = @_;
    my ($code, $text) = $t->run(@command);
    die "@command: $text\n" if $code;
}
