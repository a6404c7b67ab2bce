package Sparkngin::Kafka;

# A real Apache Kafka of one process for one test: KRaft, ports and log directory of its own. It can be killed,
# stopped, started again; a topic is read back to its end by kcat.

use strict;
use warnings;
use File::Copy 'copy';
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 'encode_base64url';
use Test::More;
use Sparkngin::Poll 'poll';

# new($t): makes its directory, starts, waits until it answers, prints which broker this is.
sub new {
    my ($class, $t) = @_;
    my @jars = glob "$Sparkngin::BUILD/kafka/libs/*.jar";
    die "Kafka's jars are missing: run `make deps` first\n" if !@jars;
    my $self = bless { t => $t, dir => "$t->{dir}/kafka", port => $t->port('kafka') }, $class;
    my $conf = $t->read_file("$Sparkngin::ROOT/t/kafka/server.properties");
    $conf =~ s/%%DIR%%/$self->{dir}/g;
    $conf =~ s/%%PORT%%/$self->{port}/g;
    $conf =~ s/%%(CONTROLLER|PROXIED|PROXY)%%/$t->port(lc $1)/ge;
    $conf .= "$t->{kafka_conf}\n" if $t->{kafka_conf};
    $self->{conf} = $t->write_file('kafka/server.properties', $conf);
    $self->format;
    $self->start->wait;
    diag('Kafka ' . $self->version . ', cluster id ' . $self->cluster_id);
    $t->{kafka} = $self;
    return $self;
}

# Kafka's own tool takes a Java of its own, so it does this once: of what it writes only the two ids are each broker's own.
sub format {
    my ($self) = @_;
    my $t = $self->{t};
    # A first byte below 128: an id that begins with a hyphen would be an option.
    my ($cluster, $directory) = map { encode_base64url(join '', chr int rand 128, map { chr int rand 256 } 1 .. 15) } 1 .. 2;
    my ($features, $kept) = ("$self->{dir}/log/bootstrap.checkpoint", "$Sparkngin::BUILD/kafka/bootstrap.checkpoint");
    if (-s $kept) {
        $t->write_file('kafka/log/meta.properties', "version=1\nnode.id=1\ncluster.id=$cluster\ndirectory.id=$directory\n");
        copy($kept, $features) or die "$features: $!\n";
        return;
    }
    my ($code, $text) = $t->run($self->java('kafka.tools.StorageTool', 'format', '-t', $cluster, '-c', $self->{conf}));
    die "Kafka could not format $self->{dir}: $text\n" if $code;
    # Another test may do the same just now.
    copy($features, "$kept.$$") && rename "$kept.$$", $kept or die "$kept: $!\n";
}

sub java {
    my ($self, @words) = @_;
    # Quick to start, small, and one core's work at most for its garbage.
    return ('java', '-Xms256m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1',
        '-XX:-UsePerfData', "-Djava.io.tmpdir=$self->{dir}",    # nothing in /tmp, however it ends
        "-Dlog4j2.configurationFile=$Sparkngin::ROOT/t/kafka/log4j2.properties",
        '-cp', "$Sparkngin::BUILD/kafka/libs/*", @words);
}

# With {proxied} set to an address, that.
sub address { $_[0]{proxied} // "127.0.0.1:$_[0]{port}" }

sub start {
    my ($self) = @_;
    $self->{daemon} = $self->{t}->daemon(
        name => 'kafka', foreign => 1, command => [ $self->java('kafka.Kafka', $self->{conf}) ]);
    return $self;
}

# Until it answers clients: a second or two, and after a kill until its old session has ended.
sub wait {
    my ($self) = @_;
    poll(60, 'Kafka answers', sub {
        die 'Kafka ended: ' . $self->{daemon}->log_text if !$self->{daemon}->running;
        return defined eval { $self->cluster_id };
    });
    return $self;
}

sub kill9   { $_[0]{daemon}->kill9 }
sub stop    { $_[0]{daemon}->stop('TERM', 30) }
sub freeze  { $_[0]{daemon}->signal('STOP') }
sub thaw    { $_[0]{daemon}->signal('CONT') }

# Starts another broker of the same cluster, and waits until there are so many.
sub joined {
    my ($self, $node) = @_;
    my $t = $self->{t};
    my $dir = "$self->{dir}$node";
    my ($port, $proxied) = map { $t->port("$_$node") } qw(kafka proxied);
    my ($cluster) = $t->read_file('kafka/log/meta.properties') =~ /^cluster\.id=(\S+)/m or die "no cluster id\n";
    (my $conf = $t->read_file($self->{conf})) =~ s/\Q$self->{dir}\E/$dir/g;
    $conf =~ s/^process\.roles=.*/process.roles=broker/m;
    $conf =~ s/^node\.id=.*/node.id=$node/m;
    $conf =~ s/^listeners=.*/listeners=PLAINTEXT:\/\/127.0.0.1:$port/m;
    $conf =~ s/^advertised\.listeners=.*\n//m;
    my $file = $t->write_file("kafka$node/server.properties", $conf);
    my $directory = encode_base64url(join '', chr int rand 128, map { chr int rand 256 } 1 .. 15);
    $t->write_file("kafka$node/log/meta.properties", "version=1\nnode.id=$node\ncluster.id=$cluster\ndirectory.id=$directory\n");
    $t->daemon(name => "kafka$node", foreign => 1, command => [ $self->java('kafka.Kafka', $file) ]);
    poll(60, "$node brokers", sub {
        my $all = eval { JSON::PP->new->decode($self->kcat('-L', '-J')) };
        return $all && @{ $all->{brokers} } >= $node;
    });
}

# Makes a topic of one partition (CreateTopics, version 1), and waits until all its copies are there: copies => n, and properties.
sub create {
    my ($self, $topic, %opt) = @_;
    my $copies = delete $opt{copies};
    my $properties = pack('N', scalar keys %opt) . join '', map { pack 'n/a* n/a*', $_, $opt{$_} } sort keys %opt;
    my $answer = $self->ask(19, 2, pack('N n/a* N n N', 1, $topic, 1, $copies, 0) . $properties . pack 'N c', 10_000, 0);
    my (undef, undef, undef, $error) = unpack 'N N n/a* n', $answer;
    die "CreateTopics: error $error\n" if $error;
    poll(30, "$topic has its copies", sub {
        my $all = JSON::PP->new->decode($self->kcat('-L', '-J', '-t', $topic));
        my ($it) = grep { $_->{topic} eq $topic } @{ $all->{topics} };
        return $it && @{ $it->{partitions} } && @{ $it->{partitions}[0]{isrs} } == $copies;
    });
}

# Its version, as its own log says it.
sub version {
    my ($self) = @_;
    return $self->{daemon}->says(qr/Kafka version: (\S+)/, 30);
}

# The cluster's id, as the broker answers it to a Metadata request (version 2, no topics). Dies when it does not answer,
# or when it has no broker that takes writes yet.
sub cluster_id {
    my ($self) = @_;
    my $answer = $self->ask(3, 2, pack 'N', 0);
    my ($brokers) = unpack 'N', $answer;
    die "no broker yet\n" if !$brokers;
    my $rest = substr $answer, 4;
    for (1 .. $brokers) {
        my ($node, $host, $port, $rack) = unpack 'N n/a* N n', $rest;
        $rest = substr $rest, 4 + 2 + length($host) + 4 + 2 + ($rack == 0xffff ? 0 : $rack);
    }
    my ($id) = unpack 'n/a*', $rest;
    return $id;
}

# Deletes a topic (DeleteTopics, version 1).
sub delete_topic {
    my ($self, $topic) = @_;
    my $answer = $self->ask(20, 1, pack 'N n/a* N', 1, $topic, 10_000);
    my (undef, undef, undef, $error) = unpack 'N N n/a* n', $answer;
    die "Kafka does not delete $topic: error $error\n" if $error;
    poll(10, "$topic is gone", sub { my %topics = $self->topics; !$topics{$topic} });
}

# One request of Kafka's protocol, on a connection of its own: the answer behind its head.
sub ask {
    my ($self, $key, $version, $body) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $self->address, Timeout => 2) or die "Kafka does not answer: $@\n";
    my $request = pack('n n N n/a*', $key, $version, 7, 'test') . $body;
    syswrite $socket, pack 'N/a*', $request;
    my $answer = '';
    $socket->blocking(0);
    poll(10, 'Kafka answers a request', sub {
        my $n = sysread $socket, $answer, 65536, length $answer;
        die "Kafka hung up\n" if defined $n && !$n;
        return length $answer >= 4 && length $answer >= 4 + unpack 'N', $answer;
    });
    return substr $answer, 8;
}

# Forbids everybody to write to a topic, by an authorizer that allows what no rule names; `permit` takes that back.
sub forbid {
    my ($self, $topic) = @_;
    my $rule = sub { pack 'c n/a* c n/a* n/a* c c', 2, $topic, 3, 'User:ANONYMOUS', '*', @_ };
    my $answer = $self->ask(30, 1, pack('N', 2) . $rule->(2, 3) . $rule->(4, 2));    # all allowed, writing denied
    my (undef, undef, $error) = unpack 'N N n', $answer;
    die "CreateAcls: error $error\n" if $error;
}

sub permit {
    my ($self, $topic) = @_;
    my $answer = $self->ask(31, 1, pack 'N c n/a* c n n c c', 1, 2, $topic, 3, 0xffff, 0xffff, 4, 2);
    my (undef, undef, $error) = unpack 'N N n', $answer;
    die "DeleteAcls: error $error\n" if $error;
}

# Sets a topic's property.
sub set {
    my ($self, $topic, $name, $value) = @_;
    my $answer = $self->ask(44, 0, pack 'N c n/a* N n/a* c n/a* c', 1, 2, $topic, 1, $name, 0, $value, 0);
    my (undef, undef, $error) = unpack 'N N n', $answer;
    die "IncrementalAlterConfigs: error $error\n" if $error;
}

# Gives a topic more partitions.
sub widen {
    my ($self, $topic, $partitions) = @_;
    my $answer = $self->ask(37, 0, pack 'N n/a* N N N c', 1, $topic, $partitions, 0xffffffff, 5000, 0);
    my (undef, undef, undef, $error) = unpack 'N N n/a* n', $answer;
    die "CreatePartitions: error $error\n" if $error;
}

sub kcat {
    my ($self, @words) = @_;
    my $out = "$self->{t}{dir}/kcat.out";
    my ($code, $errors);
    # A broker that has just been started has no leaders yet.
    poll(20, "kcat @words finds the leaders", sub {
        unlink $out;
        ($code, $errors) = $self->{t}->run({ out => $out }, 'kcat', '-b', $self->address, @words);
        return !$code || $errors !~ /leader/i;
    });
    die "kcat @words: $errors\n" if $code;
    my $text = $self->{t}->read_file($out);
    unlink $out;
    return $text;
}

# topic -> number of partitions, of all that are there.
sub topics {
    my ($self) = @_;
    my $all = JSON::PP->new->decode($self->kcat('-L', '-J'));
    return map { $_->{topic} => scalar @{ $_->{partitions} } } @{ $all->{topics} };
}

# Of each partition the offset at an end, -1 the last one, -2 the first; `partitions` where that is known.
sub offsets {
    my ($self, $topic, $which, $partitions) = @_;
    $partitions //= { $self->topics }->{$topic} or return;
    my $text = $self->kcat('-Q', map { ('-t', "$topic:$_:$which") } 0 .. $partitions - 1);
    return $text =~ /\[\d+\] offset (\d+)/g;
}

# How many records a topic has.
sub count {
    my ($self, $topic) = @_;
    my $partitions = { $self->topics }->{$topic} or return 0;
    my $sum = 0;
    $sum += $_ for $self->offsets($topic, -1, $partitions);
    $sum -= $_ for $sum ? $self->offsets($topic, -2, $partitions) : ();
    return $sum;
}

# Every record of a topic that is there when this is called, in the order of partition and offset:
# {partition, offset, timestamp, key, value, headers => {...}}. A topic that does not exist has none. Only what is
# committed is read; with {transactions} set the topic's offsets count markers and aborted records, too.
sub read {
    my ($self, $topic) = @_;
    my $there = $self->count($topic) or return;
    # At the end of a partition the broker waits for more before it says so: not for long here.
    my $text = $self->kcat('-C', '-t', $topic, '-o', 'beginning', '-e', '-q', '-X', 'check.crcs=true', '-X', 'fetch.wait.max.ms=10',
        '-f', '%p %o %T %K %S\n%k%s%h\n');
    my @records;
    for (my $at = 0; $at < length $text;) {
        my $end = index $text, "\n", $at;
        my ($partition, $offset, $time, $key, $size) = split / /, substr $text, $at, $end - $at;
        my $keyed = $key > 0 ? $key : 0;
        my $body = $end + 1 + $keyed;
        my $last = index $text, "\n", $body + ($size > 0 ? $size : 0);
        my $headers = substr $text, $body + $size, $last - $body - $size;
        push @records, {
            partition => $partition, offset => $offset, timestamp => $time,
            key => $key < 0 ? undef : substr($text, $end + 1, $keyed),
            value => substr($text, $body, $size),
            headers => { map { split /=/, $_, 2 } split /,/, $headers },
        };
        $at = $last + 1;
    }
    die "kcat read " . @records . " of $there records of $topic\n" if @records < $there && !$self->{transactions};
    return sort { $a->{partition} <=> $b->{partition} || $a->{offset} <=> $b->{offset} } @records;
}

1;
