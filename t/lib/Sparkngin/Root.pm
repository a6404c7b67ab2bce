package Sparkngin::Root;

# A Debian of its own, with nginx: a directory made by debootstrap once and copied for each test, in which commands run
# with a network and processes of their own, so that no port is taken and nothing outlives the test. Needs root.

use strict;
use warnings;
use parent 'Exporter';
use File::Temp;
use JSON::PP;
use Sparkngin::Poll 'poll';

our @EXPORT_OK = qw(slurp put);

# What `apt-get install nginx` and the packages' own dependencies bring.
my $INCLUDE = 'nginx,libzmq5,libssl3,curl,procps,iproute2,init-system-helpers';
my $BASE = 'build/packages/base';

sub new {
    my ($class) = @_;
    if (!-e "$BASE/.complete") {
        run("rm -rf $BASE && mkdir -p build/packages");
        run("debootstrap --variant=minbase --include=$INCLUDE bookworm $BASE >build/packages/log 2>&1 && touch $BASE/.complete");
    }
    my $dir = File::Temp->newdir('/tmp/sn-XXXXXX');
    my $self = bless { dir => $dir, root => "$dir/root", home => $$ }, $class;
    run("cp -a $BASE $self->{root} && mkdir $self->{root}/debs && cp build/issuer $self->{root}/debs/");
    # Without a policy, and without an init, services are left alone.
    put("$self->{root}/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n");
    chmod 0755, "$self->{root}/usr/sbin/policy-rc.d";
    pipe my $hold, my $held or die "pipe: $!\n";
    my $space = fork // die "fork: $!\n";
    if (!$space) {
        close $held;
        open STDIN, '<&', $hold or die;
        exec 'unshare', '-n', '-p', '-m', '--fork', '--kill-child', 'bash', '-c',
            "mount -t proc proc $self->{root}/proc && ip link set lo up && touch $self->{root}/up && read -r _" or die;
    }
    close $hold;
    @$self{qw(space held)} = ($space, $held);
    poll(60, 'the root is there', sub { -e "$self->{root}/up" });
    ($self->{init}) = split ' ', slurp("/proc/$space/task/$space/children");
    return $self;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{home};
    local $?;
    close $self->{held};
    waitpid $self->{space}, 0;
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
    system('nsenter', '-t', $self->{init}, '-n', '-p', '-m', 'chroot', $self->{root}, 'env', '-i',
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND=noninteractive', 'HOME=/root',
        'bash', '-c', "{ $command\n} >/said 2>&1 </dev/null");
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
