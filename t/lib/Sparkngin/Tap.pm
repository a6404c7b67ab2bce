package Sparkngin::Tap;

# What was stored, read by a stranger: a ZeroMQ client on the live port, with every field as JSON. What came before it
# is delivered, too, as far as the ring reaches, so it may be started late.
#
#     $t->conf(http => Sparkngin::Tap::conf(), ...);
#     my $tap = Sparkngin::Tap->new($t);
#     my @events = $tap->events(3);          # waits until there are three, in the order of their arrival

use strict;
use warnings;
use File::Basename 'dirname';
use JSON::PP;
use Sparkngin::Poll 'poll';

# For http: the live port, and all fields that these tests look at. More may be named.
sub conf {
    my (@more) = @_;
    my @names = qw(sg version ip time_stamp submitted_timestamp level type topic env key id user-agent referrer);
    return 'sparkngin_listen %%PORT_live%%; sparkngin_buf_path %%DIR%%/ring; sparkngin_format json; sparkngin_fields '
        . join(' ', map "%$_%", @names, @more, 'data') . ';';
}

sub new {
    my ($class, $t) = @_;
    my $port = $t->port('live');
    my $daemon = $t->daemon(
        name => 'tap', foreign => 1, out => $t->path('tap.out'),
        command => ['/usr/bin/python3', dirname(__FILE__) . '/../tap.py', "tcp://127.0.0.1:$port"],
    );
    return bless { t => $t, daemon => $daemon }, $class;
}

sub events {
    my ($self, $count, $seconds) = @_;
    my @lines;
    poll($seconds // 15, "$count events are delivered", sub {
        my $text = $self->{t}->read_file('tap.out');
        return if ($text =~ tr/\n//) < $count;
        @lines = split /\n/, substr $text, 0, rindex($text, "\n") + 1;
        return 1;
    });
    return map { JSON::PP->new->utf8->decode(s/^[^\t]*\t//r) } @lines;
}

# Another one gets what came before it only when nobody else has been listening.
sub stop { $_[0]{daemon}->stop }

# By the client's own id.
sub by_id {
    my ($self, $count, $seconds) = @_;
    return map { ($_->{id} // '') => $_ } $self->events($count, $seconds);
}

1;
