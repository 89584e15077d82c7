#include <gtest/gtest.h>

#include <numeric>
#include <vector>

static int sum(const std::vector<int>& numbers) {
    return std::accumulate(numbers.begin(), numbers.end(), 0);
}

TEST(Sums, OfNothingIsZero) { EXPECT_EQ(sum({}), 0); }

TEST(Sums, OfTwoNumbers) { EXPECT_EQ(sum({1, 2}), 4); }

TEST(Sums, OfAMillionNumbers) { GTEST_SKIP() << "needs 4 MB"; }

class Squares : public testing::TestWithParam<int> {};

TEST_P(Squares, AreNotNegative) { EXPECT_GE(GetParam() * GetParam(), 0); }

INSTANTIATE_TEST_SUITE_P(Small, Squares, testing::Values(-1, 1));
