#!/usr/bin/perl

# docs/guide.md is true: each command of it runs, one after another, in a fresh Debian that is booted, with nothing but the
# packages, and says what the page says that it says (`sh fails` is one that ends with an error). So the unit is tried, too, by
# systemd itself.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Sparkngin::Poll 'poll';
use Sparkngin::Root 'slurp';

chdir "$FindBin::Bin/../.." or die;
my $it = Sparkngin::Root->new(systemd => 1);
my ($version) = slurp('Cargo.toml') =~ /^version = "(.*)"/m;
is(scalar(my @packages = $it->packages($version)), 2, 'two packages');

my @blocks = slurp('docs/guide.md') =~ /^```(sh|sh fails|text)\n(.*?)^```$/msg;
my $commands = 0;
while (@blocks) {
    my ($kind, $command) = splice @blocks, 0, 2;
    die "a text without a command: $command" if $kind eq 'text';
    my ($name) = split /\n/, $command;
    my $expected = @blocks && $blocks[0] eq 'text' ? (splice @blocks, 0, 2)[1] : '';
    $commands++;
    # What is on its way is there a moment later; a person, too, would look again.
    my ($code, $missing);
    my $good = eval {
        poll(60, $name, sub {
            $code = $it->inside("cd /debs\n$command");
            $missing = join '', grep { !has($it->said, $_) } $expected =~ /^(.+)$/mg;
            my $as_said = ($code != 0) == ($kind eq 'sh fails');
            return $as_said && $missing eq '' || (!$as_said && $command !~ m{audit|readyz|api/v1|doctor} ? -1 : 0);
        });
    };
    ok(($good // 0) == 1, $name) or diag("exit $code, without: $missing\n", $it->said);
}
cmp_ok($commands, '>', 12, 'commands');
is($it->inside('journalctl -u sparkngin --no-pager | grep -iE "not permitted|watchdog|core-dump"'), 1, 'nothing that the unit closes was needed')
    or diag($it->said);
done_testing;

# A line, `...` in it is anything.
sub has {
    my ($said, $line) = @_;
    my $pattern = join '.*', map { quotemeta } split /\.\.\.\s*/, $line, -1;
    $pattern =~ s/\\ \.\*/.*/g;
    return $said =~ /^$pattern\s*$/m;
}
