#!/usr/bin/perl

# The unit that the packages install: systemd finds nothing wrong with it, it is as closed as its score says, and the
# file that it starts with is good.

use strict;
use warnings;
use File::Temp;
use FindBin;
use Test::More;

chdir "$FindBin::Bin/.." or die;
my $dir = File::Temp->newdir('/tmp/sn-XXXXXX');

# systemd looks whether what is started is there: here it is what was built.
open my $in, '<', 'packaging/sparkngin.service' or die;
my $unit = do { local $/; <$in> };
(my $here = $unit) =~ s{/usr/bin/sparkngin}{$FindBin::Bin/../build/sparkngin}g;
open my $out, '>', "$dir/sparkngin.service" or die;
print $out $here;
close $out;
is(scalar qx(systemd-analyze verify --man=no $dir/sparkngin.service 2>&1), '', 'systemd-analyze verify has nothing to say');
my ($score) = qx(systemd-analyze security --offline=true --no-pager $dir/sparkngin.service 2>&1) =~ /exposure level for \S+: ([\d.]+)/;
is($score, said(), 'its score is the one that docs/security.md states');
like($unit, qr/^RestartPreventExitStatus=3$/m, 'who was replaced by another subscriber of the name is not started again');

my $test = qx(build/sparkngin subscribe --config packaging/subscribe.toml -t 2>&1);
is($test, "packaging/subscribe.toml: the settings are good\n", 'the file that comes with it is good');
(my $all = slurp('packaging/subscribe.toml')) =~ s/^#(?=[a-z"\[])//mg;
$all =~ s{/etc/sparkngin/kafka-password}{$dir/password};
put("$dir/all.toml", $all);
put("$dir/password", "secret\n");
like(qx(build/sparkngin subscribe --config $dir/all.toml -t 2>&1), qr/: the settings are good$/, 'and so is what it leaves commented');
done_testing;

sub said {
    my ($score) = slurp('docs/security.md') =~ /`systemd-analyze security` gives it ([\d.]+)/;
    return $score;
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return <$in>;
}

sub put {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print $out $text;
    close $out;
}
