package ShmKV::Value;

# References to arrays and hashes as JSON, without the losses that JSON modules let
# pass. Spec 10.1 and 10.2. For ShmKV itself: its C code calls json_encode and json_decode.
#
# JSON::PP does the strings and the reading. Numbers are ours to write: it would write
# 3.0 as 3 and 0.1 + 0.2 with fifteen digits, and other languages would read another
# number.

use strict;
use warnings;
no warnings 'recursion';

use B ();
use overload ();
use JSON::PP ();
use Scalar::Util qw(blessed reftype);

use constant DEEPEST => 512;    # [VAL-07]; JSON::PP reads no more

my $strings = JSON::PP->new->allow_nonref;
my $reader  = JSON::PP->new->utf8(0)->boolean_values(!!0, !!1);
my $is_bool = defined &builtin::is_bool ? \&builtin::is_bool : sub { 0 };

sub _refuse {
    my ($why) = @_;

    ShmKV::_refuse_value($why);
}

sub _float {
    my ($number) = @_;

    _refuse('NaN or infinity inside an array or hash') if $number != $number || $number * 0 != 0;
    my $text = sprintf '%.15g', $number;
    $text = sprintf '%.17g', $number if $text != $number;
    return $text =~ /[.e]/ ? $text : "$text.0";
}

sub _scalar {
    my ($value) = @_;

    return 'null' if !defined $value;
    no warnings 'experimental';
    return $value ? 'true' : 'false' if $is_bool->($value);
    my $flags = B::svref_2object(\$value)->FLAGS;
    return $strings->encode('' . $value) if $flags & B::SVf_POK;
    if ($flags & B::SVf_IOK) {
        _refuse('an integer beyond 64 bits; store it as text') if $value > 9223372036854775807;
        return "$value";
    }
    return $flags & B::SVf_NOK ? _float($value) : $strings->encode("$value");
}

sub _encode {
    my ($value, $depth) = @_;

    return _scalar($value) if !ref $value;
    if (blessed $value) {
        return $value ? 'true' : 'false' if $value->isa('JSON::PP::Boolean');
        return $strings->encode("$value") if overload::Method($value, '""');
        _refuse('an object of ' . ref($value) . ' inside an array or hash');
    }
    _refuse('arrays and hashes that contain themselves, or more than ' . DEEPEST . ' inside each other')
        if $depth > DEEPEST;
    if (reftype $value eq 'ARRAY') {
        return '[' . join(',', map { _encode($_, $depth + 1) } @$value) . ']';
    }
    _refuse('a reference to something that is no plain array or hash, inside one') if reftype $value ne 'HASH';
    return '{' . join(',', map { $strings->encode("$_") . ':' . _encode($value->{$_}, $depth + 1) } sort keys %$value) . '}';
}

sub json_encode {
    my $text = _encode($_[0], 1);

    utf8::encode($text);
    return $text;
}

sub json_decode {
    return $reader->decode($_[0]);
}

1;
