package Sparkngin::Proxy;

# A connection that can be cut, reset, left half open, delayed and throttled: t/lib/proxy.py, and its commands.
#
#     my $proxy = Sparkngin::Proxy->new($t, 'feed', "unix:$t->{dir}/proxy.sock", "unix:$t->{dir}/ring/feed.sock");
#     $proxy->tell('delay 2');
#     $proxy->tell('pass');

use strict;
use warnings;
use Sparkngin::Poll 'poll';

my $program = __FILE__ =~ s{[^/]+/[^/]+$}{proxy.py}r;

sub new {
    my ($class, $t, $name, $listen, $target) = @_;
    pipe my $in, my $say or die "pipe: $!\n";
    $say->autoflush(1);
    my $self = bless { say => $say, told => 0 }, $class;
    $self->{daemon} = $t->daemon(name => "proxy.$name", stdin => $in, command => [ $Sparkngin::PYTHON, $program, $listen, $target ]);
    close $in;
    $self->{daemon}->says(qr/^ready$/m);
    return $self;
}

# Gives a command, and waits until it holds.
sub tell {
    my ($self, $command) = @_;
    my $told = ++$self->{told};
    print { $self->{say} } "$command\n";
    poll(10, "the proxy does: $command", sub {
        die 'the proxy ended: ' . $self->{daemon}->log_text if !$self->{daemon}->running;
        return $told == (() = $self->{daemon}->log_text =~ /^done: /mg);
    });
    return $self;
}

1;
