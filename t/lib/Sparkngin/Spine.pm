package Sparkngin::Spine;

# The whole way in one test's world: nginx with the module, a ring, the subscriber, a real Kafka. Everything that
# Sparkngin has, and:
#
#     my $t = Sparkngin::Spine->new(buf_size => '64m');    # all three run when this returns
#     my $load = $t->load(rate => 2000);
#     $load->fault('worker -9', sub { $t->kill9(($t->workers)[0]) });
#     $t->audit($load);                                    # Sparkngin::Books
#     $t->finish;

use strict;
use warnings;
use parent -norequire, 'Sparkngin';
use IO::Socket::INET;
use Sparkngin;
use Sparkngin::Books;
use Sparkngin::Kafka;
use Sparkngin::Load;
use Sparkngin::Proxy;
use Sparkngin::Row;
use Test::More;

our @EXPORT = @Sparkngin::EXPORT;

sub import { goto &Exporter::import }

# new(buf_size =>, policy =>, name => 'kafka', ack => 'ring timeout=1s', off => 1 where another process publishes, listen => port's name, listening => more of nginx's listen, http/server/
# location => more of the conf, kafka_conf => more of Kafka's, start => 0 to start nothing but Kafka)
sub new {
    my ($class, %opt) = @_;
    my $self = $class->SUPER::new;
    $self->{name} = $opt{name} // 'kafka';
    $self->{kafka_conf} = $opt{kafka_conf};
    $self->spine_conf(%opt);
    Sparkngin::Kafka->new($self) if $opt{kafka} // 1;
    if ($opt{start} // 1) {
        $self->start->ready;
        $self->subscribe;
        $self->attached;
    }
    return $self;
}

sub spine_conf {
    my ($self, %opt) = @_;
    %opt = (%{ $self->{opt} // {} }, %opt);
    $self->{opt} = {%opt};
    my $size = $opt{buf_size} // '64m';
    my $policy = $opt{policy} ? "sparkngin_overflow $opt{policy};" : '';
    my $ack = $opt{ack} // 'ring timeout=1s';
    my $port = $opt{listen} ? $self->port($opt{listen}) : '%%PORT%%';
    my $listening = $opt{listening} ? " $opt{listening}" : '';
    my $publisher = $opt{off} ? 'off' : '127.0.0.1:%%PORT_live%%';
    my %where = (http => $opt{http} // '', server => $opt{server} // '', location => $opt{location} // '');
    $self->conf(
        workers => $opt{workers} // 2,
        whole => <<"CONF");
%%GLOBALS%%
events { worker_connections @{[ $opt{connections} // 4096 ]}; }
http {
    %%HTTP%%
    sparkngin_listen $publisher;
    sparkngin_buf_path %%DIR%%/ring;
    sparkngin_buf_size $size;
    sparkngin_subscriber $self->{name};
    $policy
    sparkngin_ack $ack;
    $where{http}
    server {
        listen 127.0.0.1:$port$listening;
        $where{server}
        location /sn/ { sparkngin_root_loc; $where{location} }
    }
}
CONF
    return $self;
}

# Where the subscriber finds the feed; through a proxy once there is one (`proxied`).
sub feed { $_[0]{feed} // "ipc://$_[0]{dir}/ring/feed.sock" }

# Puts a proxy between the subscriber and the feed, or Kafka: what subscribes from now on goes through it.
sub feed_proxied {
    my ($self) = @_;
    my $path = "$self->{dir}/proxy.sock";
    $self->{feed} = "ipc://$path";
    return Sparkngin::Proxy->new($self, 'feed', "unix:$path", "unix:$self->{dir}/ring/feed.sock");
}

sub kafka_proxied {
    my ($self) = @_;
    my ($listen, $target) = map { '127.0.0.1:' . $self->port($_) } qw(proxy proxied);
    $self->{kafka_address} = $listen;
    return Sparkngin::Proxy->new($self, 'kafka', $listen, $target);
}

# The subscriber, with these arguments (--create-topics unless told) besides feed, Kafka, its name and where /metrics
# is: on a port of each one's own, so that two of them can be there.
sub subscribe {
    my ($self, @args) = @_;
    @args = '--create-topics' if !@args;
    my $n = ++$self->{subscribers};
    $self->{metrics} = $self->port("metrics$n");
    return $self->{subscriber} = $self->daemon(
        name => "subscriber.$n",
        command => [
            $Sparkngin::PROGRAM, 'subscribe', '--feed', $self->feed, '--kafka', $self->{kafka_address} // $self->{kafka}->address,
            '--name', $self->{name}, '--http', "127.0.0.1:$self->{metrics}", '--log', 'text', @args,
        ]);
}

# librdkafka's mock cluster in place of Kafka, with these topics and that of the dead letters.
sub mock {
    my ($self, @topics) = @_;
    my $port = $self->port('mock');
    $self->daemon(name => 'mock', command => [$Sparkngin::PROGRAM, 'mock-kafka', '--port', $port, map { ('--topic', $_) } @topics, 'sparkngin.dead']);
    $self->{kafka_address} = "127.0.0.1:$port";
    poll(20, 'the mock answers', sub { IO::Socket::INET->new(PeerAddr => $self->{kafka_address}) });
    return $self;
}

# Waits until the subscriber says that it is ready: it has the feed and Kafka.
sub attached {
    my ($self) = @_;
    poll(30, 'the subscriber is ready', sub {
        die 'the subscriber ended: ' . $self->{subscriber}->log_text if !$self->{subscriber}->running;
        return $self->get('/readyz', port => $self->{metrics})->{status} == 200;
    });
    return $self;
}

sub load {
    my ($self, %opt) = @_;
    return Sparkngin::Load->new($self, %opt);
}

# A subscriber's books as /status shows them: committed, in_kafka, in_ring, lost, dead, uncertain.
sub books {
    my ($self, $name) = @_;
    $name //= $self->{name};
    my ($books) = grep { $_->{name} eq $name } @{ $self->status->{subscribers} };
    return $books // die "/status knows no subscriber $name\n";
}

# Waits until the ring holds nothing for the subscriber any more.
sub drained {
    my ($self, $seconds) = @_;
    poll($seconds // 60, 'the ring is drained', sub {
        my $books = eval { $self->books };
        return $books && $books->{in_ring} == 0;
    });
    return $self;
}

# Starts nginx, and a subscriber at a mock of Kafka that has these topics; the addresses of both, for what looks at them.
sub watched {
    my ($self, @topics) = @_;
    $self->mock(@topics);
    $self->start->ready;
    $self->subscribe('--dead-letter', 'topic:sparkngin.dead');
    $self->attached;
    return ('http://127.0.0.1:' . $self->port . '/sn/', "http://127.0.0.1:$self->{metrics}/");
}

sub epoch { $_[0]->status->{publisher}{epoch} }

1;
