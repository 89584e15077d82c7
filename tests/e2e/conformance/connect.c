/* Writes to the report by descriptor, and then by the socket. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(void) {
    const char *descriptor = getenv("PERSEA_REPORT_FD");
    const char *path = getenv("PERSEA_REPORT_SOCKET");
    if (descriptor == NULL || path == NULL)
        return 2;
    if (dprintf(atoi(descriptor), "by descriptor\n") < 0)
        return 3;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return 4;
    strcpy(address.sun_path, path);
    int connection = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0)
        return 5;
    if (dprintf(connection, "by socket\nby socket again\n") < 0)
        return 6;
    return close(connection) != 0;
}
