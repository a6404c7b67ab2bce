package Sparkngin::Root;

# A Debian of its own, with nginx: a directory made by debootstrap once and copied for each test, in which commands run
# with a network and processes of their own, so that no port is taken and nothing outlives the test. Needs root.

use strict;
use warnings;
use parent 'Exporter';
use File::Temp;
use JSON::PP;
use Scalar::Util 'weaken';
use Sparkngin::Poll 'poll';

our @EXPORT_OK = qw(slurp put);

# What `apt-get install nginx` and the packages' own dependencies bring, and what docs/guide.md has installed besides.
my $INCLUDE = 'nginx,libzmq5,libssl3,curl,procps,iproute2,init-system-helpers,systemd,systemd-sysv,dbus,prometheus';
my $BASE = 'build/packages/base';

my @roots;

# new(systemd => 1 for a root that is booted)
sub new {
    my ($class, %opt) = @_;
    if (slurp("$BASE/.complete") ne "$INCLUDE\n") {
        run("rm -rf $BASE && mkdir -p build/packages");
        run("debootstrap --variant=minbase --include=$INCLUDE bookworm $BASE >build/packages/log 2>&1 && echo $INCLUDE >$BASE/.complete");
    }
    my $dir = File::Temp->newdir('/tmp/sn-XXXXXX');
    my $self = bless { dir => $dir, root => "$dir/root", home => $$, %opt }, $class;
    run("cp -a $BASE $self->{root} && mkdir $self->{root}/debs && cp build/issuer $self->{root}/debs/");
    # Without a policy, and without an init, services are left alone.
    put("$self->{root}/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n");
    chmod 0755, "$self->{root}/usr/sbin/policy-rc.d";
    put("$dir/begin", $self->begin);
    pipe my $hold, my $held or die "pipe: $!\n";
    my $space = fork // die "fork: $!\n";
    if (!$space) {
        close $held;
        open STDIN, '<&', $hold or die;
        if ($opt{systemd}) {
            put("$_/cgroup.procs", $$) for groups($self->{home});
        }
        # However this test ends, so does the root: the first process of it is killed with its parent, and that one with us.
        exec qw(setpriv --pdeathsig KILL unshare --net --pid --mount --uts --ipc), ($opt{systemd} ? '--cgroup' : ()), '--fork', '--kill-child', 'bash', "$dir/begin" or die;
    }
    close $hold;
    @$self{qw(space held)} = ($space, $held);
    weaken($roots[@roots] = $self);
    poll(60, 'the root is there', sub { ($self->{init}) = split ' ', slurp("/proc/$space/task/$space/children") });
    poll(90, 'the root runs', sub { $self->inside($opt{systemd} ? 'systemctl is-system-running | grep -E "running|degraded"' : 'true') == 0 });
    return $self;
}

# The first process of the root, as a script: systemd, or a shell that keeps it until we end.
sub begin {
    my ($self) = @_;
    my $cgroup = -e '/sys/fs/cgroup/cgroup.controllers' ? 'mount -t cgroup2 cgroup2 sys/fs/cgroup' : <<'SH';
mount -t tmpfs tmpfs sys/fs/cgroup
mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
SH
    my $boot = !$self->{systemd} ? 'read -r _' : <<"SH";
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs run
$cgroup
mkdir -p old
pivot_root . old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c 'umount -l /old; exec /lib/systemd/systemd --log-level=warning --unit=multi-user.target' >/dev/null 2>&1
SH
    return <<"SH";
set -e
mount --make-rprivate /
mount --bind $self->{root} $self->{root}
cd $self->{root}
mount -t proc proc proc
ip link set lo up
$boot
SH
}

# The control groups that a booted root has for itself, made if they are not there.
sub groups {
    my ($id) = @_;
    my @above = -e '/sys/fs/cgroup/cgroup.controllers' ? '/sys/fs/cgroup' : ('/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified');
    my @own = map { "$_/sparkngin-test-$id" } @above;
    mkdir $_ for @own;
    return @own;
}

# When a test ends its directory may go before the root does, and then the root's own mounts with it.
END { $_ && $_->end for @roots }

sub DESTROY { $_[0]->end }

sub end {
    my ($self) = @_;
    return if $$ != $self->{home} || !$self->{held};
    local $?;
    close delete $self->{held};
    kill KILL => $self->{space} if $self->{systemd};
    waitpid $self->{space}, 0;
    # Its first process ends after all others of the root: nobody writes any more.
    my $init = $self->{init};
    eval { poll(20, 'the root has ended', sub { slurp("/proc/$init/stat") !~ /\) [^ZX]/ }); 1 } or warn $@ if $init;
    return if !$self->{systemd};
    # Empty a moment after the last process of theirs is gone.
    for my $group (groups($self->{home})) {
        eval { poll(20, 'its control groups are empty', sub { system("find $group -depth -type d -exec rmdir {} + 2>/dev/null"); !-e $group }) };
    }
}

# Packs what was built as this version; the packages' paths in the root.
sub packages {
    my ($self, $version) = @_;
    run("tools/deb $version >/dev/null && cp build/deb/*_${version}_*.deb $self->{root}/debs/");
    return map { s{^\Q$self->{root}\E}{}r } glob "$self->{root}/debs/*sparkngin_${version}_*.deb";
}

# Runs a command in the root; its exit code. What it says is said().
sub inside {
    my ($self, $command) = @_;
    my @into = $self->{systemd} ? qw(-u -i -C -r -w) : ();
    my @root = $self->{systemd} ? () : ('chroot', $self->{root});
    system('nsenter', '-t', $self->{init}, '-n', '-p', '-m', @into, @root, 'env', '-i',
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND=noninteractive', 'HOME=/root',
        'bash', '-c', "cd /; { $command\n} >/said 2>&1 </dev/null");
    return $? >> 8;
}

sub said { return slurp("$_[0]{root}/said") }

# The ids of all that is in a topic.
sub ids {
    my ($self, $topic) = @_;
    open my $out, '-|', 'nsenter', '-t', $self->{init}, '-n', qw(kcat -b 127.0.0.1:9092 -C -e -q -t), $topic or die;
    my $json = JSON::PP->new;
    return { map { ($json->decode($_)->{id} // '') => 1 } <$out> };
}

sub run { system('bash', '-c', $_[0]) == 0 or die "failed: $_[0]\n" }

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or return '';
    local $/;
    return scalar(<$in>) // '';
}

sub put {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print $out $text;
    close $out;
}

1;
