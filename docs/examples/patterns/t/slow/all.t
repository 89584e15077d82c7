use Test::More tests => 1;

ok sleep 60, 'slow';
