#!/usr/bin/perl

# Man pages and completions are there for all that there is, and as those who read them want them: mandoc finds nothing,
# each directive, command and flag is in them, and the shells complete by them.

use strict;
use warnings;
use FindBin;
use Test::More;

chdir "$FindBin::Bin/.." or die;
my $share = 'build/share';
my @pages = sort glob "$share/man/man*/*";
cmp_ok(scalar @pages, '>', 12, 'pages');
is(scalar qx(mandoc -Tlint @pages 2>&1), '', 'mandoc -Tlint has nothing to say of any of them');

# --- commands and their flags, as the program itself names them ---

my @commands = commands();
my @others = map { "sparkngin-$_" } @commands;
for my $page ('sparkngin', @others) {
    (my $words = $page) =~ s/^sparkngin-?//;
    $words =~ s/^ring-/ring /;
    my $text = text("man1/$page.1");
    my $help = qx(build/sparkngin $words --help);
    my @flags = $help =~ /^\s+(?:-\w, )?(--[a-z-]+)/mg;
    my @missing = grep { $text !~ /^\s+(?:-\w, )?\Q$_\E\b/m } grep { $_ ne '--help' || $text =~ /--help/ } @flags;
    is("@missing", '', "$page(1) has each flag of its help");
}
like(text('man1/sparkngin.1'), qr/sparkngin-\Q$_\E\(1\)/, "sparkngin(1) names $_") for grep { !/-/ || $_ eq 'mock-kafka' } @commands;
like(text('man1/sparkngin-subscribe.1'), qr/^EXIT STATUS\n\s+0 asked to end, 2 wrong configuration, 3 another/m, 'exit codes have a section');

# --- what stands in the documents ---

my $module = text('man5/ngx_http_sparkngin_module.5');
open my $rows, '<', 'src/module/directive.rs' or die;
my @directives = do { local $/; <$rows> =~ /Directive \{ name: c"(\w+)"/g };
is(join(' ', grep { $module !~ /^   \Q$_\E$/m } @directives), '', 'ngx_http_sparkngin_module(5) has each directive');
my $toml = text('man5/sparkngin.toml.5');
my $subscribe = qx(build/sparkngin subscribe --help);
my @keys = grep { !/^(?:config|test|dump-config|help)$/ } $subscribe =~ /^\s+(?:-\w, )?--([a-z-]+)/mg;
is(join(' ', grep { $toml !~ /^       \Q$_\E(?: |$)/m } @keys), '', 'sparkngin.toml(5) has each key');
my $feed = text('man7/sparkngin-feed.7');
like($feed, qr/^   $_/m, "sparkngin-feed(7) has $_") for qw(HELLO WELCOME BATCH LOST ACK BEAT REFUSED);

# --- completions ---

my @bash = complete('sparkngin sub', 'sub');
is("@bash", 'subscribe', 'bash completes a command');
is(join(' ', complete('sparkngin subscribe --dump', '--dump')), '--dump-config', 'and a flag');
is(system("zsh -n $share/completions/_sparkngin"), 0, 'zsh reads its own');
my $fish = qx(fish --no-config -c "source $share/completions/sparkngin.fish; complete -C 'sparkngin subs'" 2>&1);
like($fish, qr/^subscribe\t/, 'fish completes a command');
done_testing;

# What a reader sees, without the overstrikes.
sub text {
    my ($page) = @_;
    my $text = qx(mandoc -Tutf8 -Owidth=100 $share/man/$page);
    $text =~ s/.\x08//g;
    return $text;
}

sub commands {
    my @found;
    for my $above ('', 'ring') {
        my ($list) = qx(build/sparkngin $above --help) =~ /^Commands:\n(.*?)\n\n/ms or die;
        push @found, map { $above ? "$above-$_" : $_ } grep { $_ ne 'help' } $list =~ /^  ([a-z-]+) /mg;
    }
    return @found;
}

sub complete {
    my ($line, $word) = @_;
    my @words = split / /, $line;
    my $at = $#words;
    my $script = "source $share/completions/sparkngin.bash; COMP_WORDS=(@words); COMP_CWORD=$at; COMP_LINE='$line'; "
        . "_sparkngin sparkngin '$word' '$words[$at - 1]'; printf '%s\\n' \"\${COMPREPLY[\@]}\"";
    open my $out, '-|', 'bash', '-c', $script or die;
    chomp(my @replies = <$out>);
    return @replies;
}
