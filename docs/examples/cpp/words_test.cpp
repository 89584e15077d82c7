#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

#include <sstream>
#include <string>

static int count_words(const std::string& text) {
    std::istringstream stream(text);
    int count = 0;
    for (std::string word; stream >> word;) {
        ++count;
    }
    return count;
}

TEST_CASE("words are counted", "[fast]") {
    SECTION("in an empty text") { CHECK(count_words("") == 0); }
    SECTION("between spaces") { CHECK(count_words(" a  flower ") == 2); }
    SECTION("with hyphens") { CHECK(count_words("a-flower") == 2); }
}

TEST_CASE("commas end words", "[!mayfail]") { CHECK(count_words("a,b") == 2); }
