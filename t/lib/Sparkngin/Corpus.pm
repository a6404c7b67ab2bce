package Sparkngin::Corpus;

# Events as the world sends them: user agents of four kilobytes, UTF-8 of every length, percent signs, quotes,
# control bytes, bytes that are no text at all. Each is a request and what its value in Kafka must be.

use strict;
use warnings;
use Encode qw(decode encode_utf8);
use MIME::Base64 'encode_base64';
use Sparkngin::Http ();

my @AGENTS = (
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36',
    'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/470.1]',
    'curl/7.88.1', '-', '"quoted" \\backslash\\ \'single\' `tick`', '100% sure %41 %zz %', "tab\there",
    "control \x01\x02\x1b[31m red \x7f", "\xc3\xbc\xc3\xb1\xc3\xae c\xc3\xb8d\xc3\xa9 \xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\xa6\x80",
    "broken \xff\xfe bytes", '<script>alert(1)</script>', '${jndi:ldap://127.0.0.1/a}', 'x' x 4000,
);
my @WORDS = (
    'plain', 'two words', 'a+b=c&d', 'https://example.org/?q=1&r=%20#top', '{"json": "like", "n": 1}', '12345', 'null', 'true',
    '', ' ', "line\nbreak\r\n", "nul \0 inside", "\x{1}\x{8}\x{b}\x{1f}", "\xe2\x82\xac 5,00", "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80",
    "\xc2\x85 next line \xe2\x80\xa8", "\"\\/'", '%', '%%', '%2', '100%', "\xff", "caf\xe9", '..', '../../etc/passwd', "'; drop table--",
    'z' x 2000,
);
my @TOPICS = qw(replay replay.b replay-c replay_d);

# corpus(seed, count): requests with what they must become.
sub corpus {
    my ($seed, $count) = @_;
    srand $seed;
    return map { made($_) } 1 .. $count;
}

sub pick { return $_[ int rand @_ ] }

sub made {
    my ($n) = @_;
    my %field = (id => "c$n", topic => pick(@TOPICS));
    $field{level} = pick(qw(debug info warn error)) if rand() < 0.8;
    $field{type} = pick(@WORDS) if rand() < 0.5;
    $field{env} = pick('prod', 'test', "\xc3\xa9tage") if rand() < 0.4;
    $field{version} = pick('1', '2.0', '0') if rand() < 0.4;
    $field{key} = "k" . int rand 100 if rand() < 0.3;
    $field{ip} = join '.', map { int rand 256 } 1 .. 4 if rand() < 0.5;
    $field{data} = join ' ', map { pick(@WORDS) } 1 .. 1 + int rand 3 if rand() < 0.9;
    my @custom = map { [ "f$_" . pick('', '.x', "\xc3\xb6", ' y'), pick(@WORDS) ] } 1 .. int rand 4;
    my %header = ('user-agent' => pick(@AGENTS));
    $header{referrer} = pick('http://example.org/a?b=c%20d', "http://\xc3\xbc.example/\"q\"", '-') if rand() < 0.6;
    $header{cookie} = 'session=' . int(rand 1e9) . '; theme="dark"; _ga=GA1.2.3' if rand() < 0.3;
    my $submitted = rand() < 0.3 ? 1_393_671_600_250 + $n : undef;
    return build(\%field, \@custom, \%header, $submitted);
}

# A line of someone's access log: its parts as fields where it is in the combined format, the whole of it as data.
sub of_line {
    my ($n, $line) = @_;
    my %field = (id => "l$n", topic => 'replay', level => 'info', data => $line);
    my (@custom, %header);
    if ($line =~ /^(\d+\.\d+\.\d+\.\d+) (\S+) (\S+) \[([^\]]+)\] "(.*?)" (\d+) (\S+) "(.*?)" "(.*?)"$/) {
        $field{ip} = $1 if !grep { $_ > 255 } split /\./, $1;
        @custom = ([ user => $3 ], [ time => $4 ], [ request => $5 ], [ status => $6 ], [ bytes => $7 ]);
        %header = (referrer => $8, 'user-agent' => $9);
    }
    return build(\%field, \@custom, \%header);
}

my %HEADER = ('user-agent' => 'User-Agent', referrer => 'Referer', cookie => 'Cookie');
my %PARAMETER = (version => 'ver');

sub build {
    my ($field, $custom, $header, $submitted) = @_;
    my @query = map { parameter($PARAMETER{$_} // $_, $field->{$_}) } sort keys %$field;
    push @query, parameter(@$_) for @$custom;
    push @query, parameter(timestamp => $submitted) if defined $submitted;
    my $target = '/sn/log?' . join '&', @query;
    my @headers = map { ($HEADER{$_} => $header->{$_}) } sort keys %$header;
    my %value = (ip => '127.0.0.1', %$field, map({ @$_ } @$custom), map { $_ => trimmed($header->{$_}) } keys %$header);
    my $data = delete $value{data};
    $value{$_} = decode('UTF-8', $value{$_}) for keys %value;
    %value = map { decode('UTF-8', $_) => $value{$_} } keys %value;
    if (defined $data) {
        my $text = eval { decode('UTF-8', my $copy = $data, Encode::FB_CROAK) };
        if (defined $text) { $value{data} = $text }
        else { $value{data_base64} = encode_base64($data, '') }
    }
    $value{submitted_timestamp} = $submitted if defined $submitted;
    my $request = Sparkngin::Http::request_text('GET', $target, headers => \@headers, close => 0);
    return { id => $field->{id}, topic => $field->{topic}, key => $field->{key}, request => $request, value => \%value };
}

# nginx cuts blanks around a header's value.
sub trimmed {
    my ($value) = @_;
    $value =~ s/^ +| +$//g;
    return $value;
}

# Encoded as various clients do: everything, only what must be, blanks as plus.
sub parameter {
    my ($name, $value) = @_;
    my $way = int rand 3;
    return join '=', map {
        my $text = $_;
        if ($way == 0) { $text = Sparkngin::Http::encode($text) }
        else {
            $text =~ s/([\x00-\x20%&+#=\x7f])/sprintf '%%%02x', ord $1/ge;
            $text =~ s/%20/+/g if $way == 2;
        }
        $text;
    } $name, $value;
}

# The requests as the issuer reads them.
sub requests {
    return join '', map { "$_->{id} " . length($_->{request}) . "\n$_->{request}" } @_;
}

1;
