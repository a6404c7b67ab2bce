package Sparkngin::Daemon;

# A process that a test started: its pid, its log, its end. Ended by pid only. The test is made the reaper of
# its orphans, so that workers whose master was killed are waited for, too, and nothing is left behind unseen.

use strict;
use warnings;
use POSIX ':sys_wait_h';
use Exporter 'import';
use Sparkngin::Poll 'poll';

our @EXPORT_OK = qw(alive children reap become_reaper);

my %REAPER_CALL = (x86_64 => 157, aarch64 => 167);    # prctl
my %ended;                                            # pid -> wait status, of everything reaped so far

sub become_reaper {
    my $machine = (POSIX::uname())[4];
    my $call = $REAPER_CALL{$machine} or return;
    syscall($call, 36, 1, 0, 0, 0);                   # PR_SET_CHILD_SUBREAPER
}

# Takes the ends of all that has ended; true when there is no child left at all.
sub reap {
    my $pid;
    while (($pid = waitpid(-1, WNOHANG)) > 0) { $ended{$pid} = $? }
    return $pid == -1;
}

# Whether a process still runs, or some thread of it does: only when the last one has ended are its locks and files
# let go, and only then can it be waited for.
sub alive {
    my ($pid) = @_;
    reap();
    open my $stat, '<', "/proc/$pid/stat" or return 0;
    my ($state, $parent) = (<$stat> // '') =~ /\) (\S) (\d+)/ or return 0;
    return 1 if $state !~ /[ZX]/;
    return 1 if $parent == $$;
    my @threads = glob "/proc/$pid/task/*";
    return @threads > 1;
}

# The pids of a process's children that run.
sub children {
    my ($parent) = @_;
    reap();
    my @found;
    for my $path (glob '/proc/[0-9]*/stat') {
        open my $stat, '<', $path or next;
        my $line = <$stat> // next;
        my ($pid, $state, $ppid) = $line =~ /^(\d+) \(.*\) (\S) (\d+)/s or next;
        push @found, $pid if $ppid == $parent && $state !~ /[ZX]/;
    }
    @found = sort { $a <=> $b } @found;
    return @found;
}

# new(name => ..., log => path, command => [...], env => {...}, out => path, stdin => handle): starts it. Output is
# appended to the log, standard output to `out` where that is given.
sub new {
    my ($class, %self) = @_;
    my $self = bless \%self, $class;
    $self->start;
    return $self;
}

sub start {
    my ($self) = @_;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        $ENV{$_} = $self->{env}{$_} for keys %{ $self->{env} // {} };
        if ($self->{stdin}) { open STDIN, '<&', $self->{stdin} or POSIX::_exit(126) }
        else { open STDIN, '<', '/dev/null' }
        open STDOUT, '>>', $self->{out} // $self->{log} or POSIX::_exit(126);
        open STDERR, '>>', $self->{log} or POSIX::_exit(126);
        chdir $self->{dir} if $self->{dir};
        exec { $self->{command}[0] } @{ $self->{command} } or POSIX::_exit(127);
    }
    delete $self->{stdin};
    $self->{pid} = $pid;
    return $self;
}

sub pid     { $_[0]{pid} }
sub running { $_[0]{pid} && alive($_[0]{pid}) }

sub log_text {
    my ($self, $which) = @_;
    open my $in, '<', $self->{ $which // 'log' } or return '';
    local $/;
    return <$in> // '';
}

# Waits for a line in its log; the match's groups, or 1.
sub says {
    my ($self, $pattern, $seconds) = @_;
    my @got;
    poll($seconds // 20, "$self->{name} says $pattern", sub {
        my $text = $self->log_text;
        $text .= $self->log_text('out') if $self->{out};
        return 1 if @got = $text =~ $pattern;
        die "$self->{name} ended before it said $pattern:\n$text" if !$self->running;
        return 0;
    });
    return wantarray ? @got : $got[0];
}

sub signal {
    my ($self, $signal) = @_;
    kill $signal => $self->{pid} if $self->{pid};
}

# Waits for its end: the exit code, or 128 + signal as a shell says it.
sub ended {
    my ($self, $seconds) = @_;
    my $pid = $self->{pid};
    poll($seconds // 20, "$self->{name} (pid $pid) ends", sub { !alive($pid) });
    my $status = $ended{$pid} // return;
    return WIFSIGNALED($status) ? 128 + WTERMSIG($status) : WEXITSTATUS($status);
}

sub stop {
    my ($self, $signal, $seconds) = @_;
    return if !$self->running;
    $self->signal('CONT');
    $self->signal($signal // 'TERM');
    return $self->ended($seconds // 20);
}

sub kill9 {
    my ($self) = @_;
    $self->signal('KILL');
    return $self->ended(5);
}

1;
