use strict;
use warnings;
use Test::More tests => 2;
use Words;

is Words::count('a b c'), 3, 'three words';
is Words::count(''), 0, 'no words';
