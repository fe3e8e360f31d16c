/* A libmodbus server with memory that a test can read and write. What it obeys: README.md. */

#include <arpa/inet.h>
#include <errno.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CELLS = 400, PENDING = 8, LINE_BYTES = 256 };

/* Executes one order; 0 when it was not understood. */
static int obey(modbus_mapping_t *map, const char *line)
{
    char table[16];
    int address = 0, value = 0;
    const int set = sscanf(line, "set %15s %d %d", table, &address, &value) == 3;
    if (!set && sscanf(line, "get %15s %d", table, &address) != 2)
        return 0;
    if (address < 0 || address >= CELLS)
        return 0;
    uint8_t *bit = NULL;
    uint16_t *word = NULL;
    if (strcmp(table, "coil") == 0)
        bit = &map->tab_bits[address];
    else if (strcmp(table, "discrete") == 0)
        bit = &map->tab_input_bits[address];
    else if (strcmp(table, "holding") == 0)
        word = &map->tab_registers[address];
    else if (strcmp(table, "input") == 0)
        word = &map->tab_input_registers[address];
    else
        return 0;
    if (set && bit)
        *bit = value != 0;
    else if (set)
        *word = (uint16_t)value;
    if (set)
        puts("ok");
    else
        printf("%d\n", bit ? *bit : *word);
    return 1;
}

/* Reads what is there and executes its lines; 0 at the end of input. */
static int orders(modbus_mapping_t *map)
{
    static char line[LINE_BYTES];
    static size_t filled;
    char byte;
    if (read(STDIN_FILENO, &byte, 1) <= 0)
        return 0;
    if (byte != '\n') {
        if (filled + 1 < sizeof line)
            line[filled++] = byte;
        return 1;
    }
    line[filled] = '\0';
    filled = 0;
    if (!obey(map, line))
        printf("error: not a command: %s\n", line);
    fflush(stdout);
    return 1;
}

/* Answers one request; 0 when the peer is gone. */
static int serve(modbus_t *server, modbus_mapping_t *map, int fd)
{
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_set_socket(server, fd);
    const int length = modbus_receive(server, request);
    if (length < 0)
        return 0;
    return length == 0 || modbus_reply(server, request, length, map) >= 0;
}

int main(void)
{
    modbus_t *server = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *map = modbus_mapping_new(CELLS, CELLS, CELLS, CELLS);
    if (server == NULL || map == NULL)
        return 1;
    int listener = modbus_tcp_listen(server, PENDING);
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        fprintf(stderr, "cannot listen: %s\n", modbus_strerror(errno));
        return 1;
    }
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);

    fd_set open_fds;
    FD_ZERO(&open_fds);
    FD_SET(STDIN_FILENO, &open_fds);
    FD_SET(listener, &open_fds);
    int highest = listener;
    for (;;) {
        fd_set ready = open_fds;
        if (select(highest + 1, &ready, NULL, NULL, NULL) < 0)
            return 1;
        if (FD_ISSET(STDIN_FILENO, &ready) && !orders(map))
            return 0;
        for (int fd = STDIN_FILENO + 1; fd <= highest; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == listener) {
                const int peer = accept(listener, NULL, NULL);
                if (peer >= 0 && peer < FD_SETSIZE) {
                    FD_SET(peer, &open_fds);
                    highest = peer > highest ? peer : highest;
                }
            } else if (!serve(server, map, fd)) {
                close(fd);
                FD_CLR(fd, &open_fds);
            }
        }
    }
}
