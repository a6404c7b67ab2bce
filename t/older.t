#!/usr/bin/perl

# An upgrade from an older build: the ring's file that it left, killed with events that nobody had acknowledged, is taken as it
# is. What had not arrived arrives, once; new events go into the same file, and the books go on.
#
# t/lib/ring-2026-11-21.xz is of a build of that day, which did not remember ten minutes, beats, or what was refused: 700 events of
# two workers, id=1 to 700, of which "kafka" had acknowledged the first 300.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Sparkngin::Spine;
use Test::More;

my ($written, $acknowledged, $new) = (700, 300, 200);
my $t = Sparkngin::Spine->new(kafka => 0, start => 0, buf_size => '1m');
$t->start->ready;
my $ring = $t->path('ring');
$t->stop;
my ($uid, $gid) = (stat $ring)[4, 5];
unlink glob "$ring/*";

system($Sparkngin::PYTHON, '-c', 'import lzma, sys; open(sys.argv[2], "wb").write(lzma.open(sys.argv[1]).read())', "$FindBin::Bin/lib/ring-2026-11-21.xz", "$ring/ring.1") == 0 or die;
chown $uid, $gid, "$ring/ring.1" or die;
chmod 0600, "$ring/ring.1" or die;
adopt("$ring/ring.1");
my $region = region("$ring/ring.1");

$t->start->ready;
is($t->status->{ring}{region}, $region, 'the older file takes the events');
is_deeply($t->status->{older}, [], '  it alone');
is(scalar(grep { $t->get("/sn/log?topic=older&data=new&id=" . ($written + $_))->{status} == 204 } 1 .. $new), $new, "new events are taken");
$t->mock('older')->subscribe('--topics', 'older');
$t->attached;
$t->drained;

my %times;
open my $out, '-|', 'kcat', '-b', $t->{kafka_address}, qw(-C -e -q -t older) or die;
$times{ JSON::PP->new->decode($_)->{id} }++ while <$out>;
is_deeply(\%times, { map { $_ => 1 } $acknowledged + 1 .. $written + $new }, 'what had not arrived arrives, and what is new, each once');
my $books = $t->books;
is_deeply([@$books{qw(committed in_kafka in_ring lost dead_lettered uncertain)}], [$written + $new, $written + $new, 0, 0, 0, 0], 'the books go on')
    or diag(JSON::PP->new->pretty->encode($books));
my ($whole, $said) = $t->run($Sparkngin::PROGRAM, 'ring', 'verify', $ring);
is($whole, 0, 'the file is whole') or diag($said);
unlike($t->error_log, qr/sparkngin: ring\.\d+ /, 'nobody has a word about the file');
$t->finish;

# A copy is known by its inode, and what another boot left is drained: this one is said to be of here and now.
sub adopt {
    my ($file) = @_;
    open my $io, '+<:raw', $file or die;
    read $io, my $head, 128;
    open my $in, '<', '/proc/sys/kernel/random/boot_id' or die;
    my $boot = <$in> =~ tr/0-9a-f//cdr;
    my @words = unpack 'Q<16', $head;
    no warnings 'portable';
    @words[8, 9] = map { hex } reverse $boot =~ /^(.{16})(.{16})$/;
    $words[10] = (stat $file)[1];
    my $of = pack 'Q<15', @words;
    seek $io, 0, 0;
    print $io $of, pack 'Q<', crc32c($of);
    close $io or die;
}

sub region {
    my ($file) = @_;
    open my $in, '<:raw', $file or die;
    read $in, my $head, 128;
    my @words = unpack 'Q<16', $head;
    return sprintf '%016x%016x', @words[7, 6];
}

sub crc32c {
    my ($bytes) = @_;
    my $crc = 0xffffffff;
    for my $byte (unpack 'C*', $bytes) {
        $crc ^= $byte;
        $crc = $crc & 1 ? $crc >> 1 ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
    }
    return $crc ^ 0xffffffff;
}
